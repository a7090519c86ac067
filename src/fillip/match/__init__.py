"""Step 2, Event → Match: which campaigns or quest steps an event meets."""

from fillip.match.resolve import Resolve
from fillip.match.stage import Meet, meet_alone

__all__ = ["Meet", "Resolve", "meet_alone"]
