"""Step 2, Event → Match: which campaigns or quest steps an event meets."""

from fillip.match.stage import Meet, meet_alone

__all__ = ["Meet", "meet_alone"]
