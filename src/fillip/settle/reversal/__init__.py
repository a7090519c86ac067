"""Taking back what an event earned: a part of settle with its own reads and writes."""

from fillip.settle.reversal.desk import Desk, Tables
from fillip.settle.reversal.stage import Found, Original, Reversals, Reversed, look_up, name_original

__all__ = ["Desk", "Found", "Original", "Reversals", "Reversed", "Tables", "look_up", "name_original"]
