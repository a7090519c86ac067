"""Cursors: what was written is read again, and whatever else a client sends is refused."""

from base64 import urlsafe_b64encode
from datetime import UTC, date, datetime
from uuid import UUID

import pytest

from fillip.http.cursor import read_cursor, write_cursor
from fillip.http.errors import Invalid

PLACE = (datetime(2026, 1, 31, 9, 30, 0, 1, UTC), UUID(int=7), "ada", 2**63 - 1)


def test_a_cursor_gives_back_the_place() -> None:
    cursor = write_cursor(PLACE)
    assert "=" not in cursor
    assert read_cursor(cursor, [datetime, UUID, str, int]) == PLACE
    assert read_cursor(write_cursor([date(2026, 1, 31), "coffee"]) + "==", [date, str]) == (date(2026, 1, 31), "coffee")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "é",
        "never-written",
        write_cursor(["ada"]),
        write_cursor(["ada", 1, 2]),
        write_cursor([1, "ada"]),
        write_cursor(["a\0", 1]),
        write_cursor(["ada", 2**63]),
        urlsafe_b64encode(b"[" * 1_500).decode(),
        urlsafe_b64encode(b'["\xff", 1]').decode(),
    ],
)
def test_what_no_page_gave_is_no_cursor(cursor: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_cursor(cursor, [str, int])
    assert [fault.at for fault in refused.value.faults] == ["cursor"]
