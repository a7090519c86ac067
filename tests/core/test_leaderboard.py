"""Windows of leaderboards leave no instant out, and members of equal scores are in the order of their instants."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillip.core.leaderboard import KEPT, BoardSpan, Leaderboard, find_window, list_windows, read_member, write_instant
from fillip.core.local_day import find_day

INSTANTS = st.integers(0, 250_000_000_000_000_000).map(
    lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
)
ZONES = ("UTC", "Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia", "Asia/Beirut")


@pytest.mark.parametrize("span", KEPT)
@given(days=st.integers(0, 20_000), zone=st.sampled_from(ZONES))
def test_each_instant_is_in_one_window(span: BoardSpan, days: int, zone: str) -> None:
    board = Leaderboard("b", "value", span, "POINTS", week_starts_on="sunday" if span == "week" else None)
    today = date(1980, 1, 1) + timedelta(days=days)
    windows = list_windows(board, today, zone)
    assert len(windows) == KEPT[span]
    assert all(newer.starts_at == older.ends_at for newer, older in pairwise(windows))
    spare = list_windows(board, today, zone, spare=1)
    assert spare[1:-1] == windows or span == "lifetime"
    # the first and the last instant of the present one are of no other
    for instant in (windows[0].starts_at, windows[0].ends_at - timedelta(microseconds=1)):
        assert span == "lifetime" or find_window(board, find_day(instant, zone), zone) == windows[0]


@given(INSTANTS, INSTANTS, st.text(min_size=1), st.text(min_size=1))
def test_members_are_in_the_order_of_instant_and_then_of_the_id(
    one: datetime, other: datetime, user: str, rival: str
) -> None:
    members = [write_instant(at) + name.encode() for at, name in ((one, user), (other, rival))]
    assert (members[0] < members[1]) == ((one, user.encode()) < (other, rival.encode()))
    assert read_member(members[0]) == (user, one)


def test_what_a_board_counts_is_its_mark() -> None:
    marks = {
        Leaderboard("b", "value", "day", "POINTS").mark,
        Leaderboard("b", "value", "week", "POINTS").mark,
        Leaderboard("b", "value", "day", "STARS").mark,
        Leaderboard("b", "value", "day", "POINTS", "c").mark,
        Leaderboard("b", "count", "day", None, "c").mark,
        Leaderboard("b", "value", "week", "POINTS", None, "sunday").mark,
    }
    assert len(marks) == 6
