"""Step 3, Match → Match + hint: which counters the projection shows as full."""

from fillip.limit.stage import Hint

__all__ = ["Hint"]
