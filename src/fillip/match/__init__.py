"""Step 2, Event → Match: which campaigns or quest steps an event meets."""

from fillip.match.stage import Meet

__all__ = ["Meet"]
