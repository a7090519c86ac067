"""Leaderboards: users in the order of what they were granted in a window, by one campaign or by all. Pure.

A score is what was granted less what reversals have taken of it, in the window of the grant. Among equal scores stands first who reached it
first: by the instant of the newest grant of which anything is left, then by user id. So both follow from the incentives as they stand,
whatever order reversals came in.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from msgspec import Struct

from fillip.core.errors import Refused
from fillip.core.limit import Measure
from fillip.core.local_day import find_day
from fillip.core.problem import Fault
from fillip.core.tenant import Weekday, end_window, start_window

BoardSpan = Literal["day", "week", "month", "year", "lifetime"]
KEPT: Mapping[BoardSpan, int] = {"day": 8, "week": 5, "month": 3, "year": 2, "lifetime": 1}
"""Windows that are told, the present one among them."""
MOST_SCORE = 2**53 - 1
"""What Valkey orders exactly: a score of more counts as this."""
MOST_BOARDS = 20
"""Of a tenant."""
MOST_MEMBERS = 5_000_000
"""Users in all windows of a tenant's boards together, about 1 GB in Valkey; beyond, the board with most is not kept."""

_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_INSTANT_BYTES = 8


class Leaderboard(Struct, frozen=True):
    """Adds up points of `currency` by value, or counts grants; of `campaign_id`, or of all campaigns. Weeks begin on Monday unless said."""

    leaderboard_id: str
    measure: Measure
    span: BoardSpan
    currency: str | None = None
    campaign_id: str | None = None
    week_starts_on: Weekday | None = None

    @property
    def mark(self) -> str:
        """What it counts, as a word: two boards with one mark hold the same."""
        return "/".join(
            [self.measure, self.span, self.currency or "", self.campaign_id or "", self.week_starts_on or ""]
        )


class BoardWindow(Struct, frozen=True):
    """A window of a board, named by its first day: grants from `starts_at` on and before `ends_at`."""

    start: date
    starts_at: datetime
    ends_at: datetime


class RankedUser(Struct, frozen=True):
    """A user on a board; `reached_at` is the instant of the newest grant of which anything is left."""

    rank: int
    user_id: str
    score: int
    reached_at: datetime


class Ranks(Struct, frozen=True):
    """Some of the users of a board in their order; `users` are on it in all. All that was committed until `as_of` is counted."""

    as_of: datetime
    users: int
    found: list[RankedUser]


def check_leaderboard(board: Leaderboard) -> list[Fault]:
    """What contradicts itself in a definition."""
    faults = []
    if board.measure == "value" and board.currency is None:
        faults.append(
            Fault("/currency", "missing: by value the points of one currency are added up; or set measure to 'count'")
        )
    if board.measure == "count" and board.currency is not None:
        faults.append(
            Fault(
                "/currency", "goes with measure 'value': by count grants are counted, whatever they give; leave it out"
            )
        )
    if board.measure == "count" and board.campaign_id is None:
        faults.append(
            Fault(
                "/campaign_id",
                "missing: grants are counted of one campaign; or name a currency, and set measure to 'value'",
            )
        )
    if board.week_starts_on is not None and board.span != "week":
        faults.append(Fault("/week_starts_on", f"goes with span 'week', this is '{board.span}': leave it out"))
    return faults


def find_window(board: Leaderboard, day: date, time_zone: str) -> BoardWindow:
    """The window that holds a day of the tenant's zone."""
    start = start_window(board.span, day, board.week_starts_on)
    ends_at = end_window(board.span, start, time_zone)
    if ends_at is None:
        return BoardWindow(start, _FIRST, _LAST)
    # what ends the window before it, so that no instant lies between two
    before = start_window(board.span, start - timedelta(days=1), board.week_starts_on)
    return BoardWindow(start, end_window(board.span, before, time_zone) or _FIRST, ends_at)


def list_windows(board: Leaderboard, today: date, time_zone: str, *, spare: int = 0) -> list[BoardWindow]:
    """The windows that are told at a day, the newest first; `spare` ones more at either end."""
    window = find_window(board, today, time_zone)
    if board.span == "lifetime":
        return [window]
    for _ in range(spare):
        window = find_window(board, find_day(window.ends_at, time_zone), time_zone)
    windows = [window]
    while len(windows) < KEPT[board.span] + 2 * spare:
        windows.append(find_window(board, windows[-1].start - timedelta(days=1), time_zone))
    return windows


def write_instant(reached_at: datetime) -> bytes:
    """What orders members of equal scores: microseconds since 1970 in 8 bytes, the highest first."""
    return ((reached_at - _FIRST) // _MICROSECOND).to_bytes(_INSTANT_BYTES, "big")


def read_member(member: bytes) -> tuple[str, datetime]:
    """User and instant of a member of a board, which is the instant with the user's id behind it."""
    microseconds = int.from_bytes(member[:_INSTANT_BYTES], "big")
    return member[_INSTANT_BYTES:].decode(), _FIRST + microseconds * _MICROSECOND


class TooManyUsers(Refused):
    """A tenant's boards have more users than are kept in order, and this one most of them."""
