"""The order of a connection's entries, without sockets: each once, none left out, live as soon as nothing is missing."""

from hypothesis import given
from hypothesis import strategies as st

from fillip.deliver.cursor import PAGE_ENTRIES, Cursor


def read_page(cursor: Cursor, visible: int) -> bool:
    """A page of an inbox of which entries up to `visible` can be read."""
    cursor.begin_page()
    entries = min(PAGE_ENTRIES, max(0, visible - cursor.sent))
    cursor.sent += entries
    return cursor.end_page(entries)


def make_live(sent: int) -> Cursor:
    cursor = Cursor(sent=sent, newest=sent)
    assert read_page(cursor, sent)
    assert cursor.is_live
    return cursor


def test_nothing_goes_out_as_it_comes_before_the_inbox_was_read() -> None:
    cursor = Cursor(sent=3, newest=3)
    assert not cursor.is_live
    assert cursor.arrive(4) == "gap"


def test_live_the_next_is_told_from_a_gap_and_from_what_was_sent() -> None:
    cursor = make_live(3)
    assert [cursor.arrive(seq) for seq in (2, 3, 4)] == ["old", "old", "next"]
    assert cursor.arrive(5) == "gap"  # 4 was not sent
    cursor.sent = 4
    assert cursor.arrive(5) == "next"


def test_what_was_announced_is_waited_for_until_it_is_visible() -> None:
    cursor = make_live(3)
    assert cursor.arrive(6) == "gap"
    cursor.fall_behind()
    assert read_page(cursor, visible=5)  # came to something: read on at once
    assert not cursor.is_live
    assert not read_page(cursor, visible=5)
    assert not cursor.is_live
    assert read_page(cursor, visible=6)
    assert cursor.is_live


def test_a_full_page_is_never_the_last() -> None:
    cursor = Cursor(sent=0, newest=PAGE_ENTRIES)
    assert read_page(cursor, PAGE_ENTRIES)
    assert not cursor.is_live
    assert read_page(cursor, PAGE_ENTRIES)
    assert cursor.is_live


def test_who_falls_behind_while_a_page_is_read_reads_on_after_it() -> None:
    cursor = Cursor(sent=0, newest=0)
    cursor.begin_page()
    cursor.fall_behind()
    assert cursor.end_page(0)
    assert not cursor.is_live
    assert read_page(cursor, 0)
    assert cursor.is_live


@given(st.integers(0, 250), st.lists(st.tuples(st.sampled_from(["store", "announce", "read"]), st.integers(1, 150))))
def test_whatever_comes_when_every_entry_is_sent_once_and_in_order(stored: int, turns: list[tuple[str, int]]) -> None:
    cursor, sent, told = Cursor(sent=0, newest=stored), 0, stored
    for turn, number in turns:
        if turn == "store":
            stored += number
        elif turn == "announce" and (seq := min(stored, max(1, told + 1 - number % 3))):
            told = max(told, seq)
            arrival = cursor.arrive(seq)
            if arrival == "next":
                assert seq == sent + 1
                cursor.sent = sent = seq
            elif arrival == "gap":
                cursor.fall_behind()
            else:
                assert seq <= sent
        elif turn == "read" and not cursor.is_live:
            read_page(cursor, stored)
            sent = cursor.sent
        assert not cursor.is_live or sent >= told
    while not cursor.is_live:
        assert read_page(cursor, stored)
    assert cursor.sent >= told
