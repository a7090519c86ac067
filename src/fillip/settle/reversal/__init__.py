"""Taking back what an event earned: a part of settle with its own reads and writes."""

from fillip.settle.reversal.desk import Desk, Tables
from fillip.settle.reversal.stage import EventKey, Found, Original, Reversals, Reversed, ask, look_up, note_short

__all__ = ["Desk", "EventKey", "Found", "Original", "Reversals", "Reversed", "Tables", "ask", "look_up", "note_short"]
