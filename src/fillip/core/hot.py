"""Hot campaigns: those that more events of a window meet than a threshold, and who their users are."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from fillip.core.sketch import SketchShape


class HotTerms(Struct, frozen=True):
    """From how many events in a window on a campaign is hot, and how it is counted. Windows follow each other without a gap."""

    shape: SketchShape = SketchShape()
    window_s: int = 600
    threshold: int = 5_000

    def number_window(self, now_s: float) -> int:
        """The number of the window that holds an instant (Unix seconds); it begins at number * window_s."""
        return int(now_s // self.window_s)

    def start_before(self, now_s: float) -> int:
        """Where the window before begins (Unix seconds): from there on users are counted."""
        return (self.number_window(now_s) - 1) * self.window_s

    def cool_at(self, now_s: float) -> int:
        """Until when (Unix seconds) a campaign is hot that reached the threshold now: the end of the next window."""
        return (self.number_window(now_s) + 2) * self.window_s


class HotCampaign(Struct, frozen=True):
    """A campaign that is hot: since when without a break, and until when at least."""

    campaign_id: str
    since: datetime
    until: datetime


class UserTally(Struct, frozen=True):
    """How many decisions of a campaign were on a user."""

    user_id: str
    decisions: int


class HotUsers(Struct, frozen=True):
    """The users of a hot campaign with most decisions since an instant, the most first.

    Each of them had at least `decisions - over` in truth, and whoever is left out had no more than the last of all kept.
    """

    since: datetime
    users: Sequence[UserTally]
    over: int
