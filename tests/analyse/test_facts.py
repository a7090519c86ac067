"""Sifting announcements: pure."""

import pytest
from bay_world import decision, record

from fillip.analyse.facts import Position, sift
from fillip.core.errors import Crash
from fillip.stream.belt import Record

PLACE = ("decision.made", 0)


def test_what_was_loaded_before_is_dropped_and_the_offset_moves_on():
    known = {PLACE: Position(*PLACE, 7, "e1", 5, 0)}
    load = sift([record(7, decision(4)), record(8, decision(5)), record(9, decision(6))], known)
    assert load.seen_before == 2
    assert len(load.rows["decision.made"]) == 1
    assert load.positions[PLACE].next_offset == 10
    assert load.positions[PLACE].commit_lsn == 6


def test_a_repeat_within_the_batch_is_dropped():
    load = sift([record(0, decision(1)), record(1, decision(2)), record(2, decision(1)), record(3, decision(2))], {})
    assert len(load.rows["decision.made"]) == 2


def test_the_offset_moves_when_everything_is_a_repeat():
    load = sift([record(7, decision(5))], {PLACE: Position(*PLACE, 7, "e1", 5, 0)})
    assert not load.rows
    assert load.positions[PLACE] == Position(*PLACE, 8, "e1", 5, 0)


def test_the_snapshot_of_a_new_epoch_replaces_its_partition_even_within_the_batch():
    old, other = record(0, decision(9)), record(0, decision(8), partition=1)
    load = sift(
        [old, other, record(1, decision(1, op="r", epoch="e2")), record(2, decision(2, op="r", epoch="e2"))], {}
    )
    assert load.renewed == {PLACE}
    assert [partition for partition, _ in load.rows["decision.made"]] == [1, 0, 0]


def test_a_new_epoch_without_a_snapshot_adds():
    load = sift([record(7, decision(1, epoch="e2"))], {PLACE: Position(*PLACE, 7, "e1", 5, 0)})
    assert not load.renewed
    assert len(load.rows["decision.made"]) == 1


def test_what_is_no_announcement_ends_the_process_naming_its_place():
    with pytest.raises(Crash, match=r"decision\.made/0 at offset 3"):
        sift([Record(*PLACE, 3, b'{"op":"c"}', None, 0)], {})
