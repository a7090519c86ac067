"""Taking back what an event earned: a piece of settle with its own reads and writes."""

from fillip.settle.reversal.stage import Original, Reversals, Reversed, ask, reverse

__all__ = ["Original", "Reversals", "Reversed", "ask", "reverse"]
