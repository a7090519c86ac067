"""Sifting announcements: pure."""

import json

from fillip.analyse.facts import Position, sift
from fillip.stream.belt import Record
from tests.analyse.bay_world import decision, emptied, record

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


def test_what_empties_a_partition_is_taken_once_even_within_the_batch():
    old, other = record(0, decision(9)), record(0, decision(8), partition=1)
    anew = [record(1, emptied("decision", 1, "e2")), record(2, decision(2, op="r", epoch="e2"))]
    load = sift([old, other, *anew], {})
    assert load.renewed == {PLACE}
    assert [(row.partition, row.offset) for row in load.rows["decision.made"]] == [(1, 0), (0, 2)]
    again = sift(anew, load.positions)
    assert (again.renewed, again.seen_before) == (set(), 2)


def test_a_new_epoch_without_an_emptied_table_adds():
    load = sift([record(7, decision(1, epoch="e2"))], {PLACE: Position(*PLACE, 7, "e1", 5, 0)})
    assert not load.renewed
    assert len(load.rows["decision.made"]) == 1


def test_what_is_no_announcement_is_set_aside_naming_its_place_and_the_others_are_taken():
    poison = [b'{"op":"c"}', b"", b"\xff", b"[" * 100_000, json.dumps(decision(2, op="x")).encode(),
              json.dumps(decision(2**63)).encode(), json.dumps(decision(10**12)).encode()]  # fmt: skip
    spoilt = [Record(*PLACE, offset, value, None, 0) for offset, value in enumerate(poison, 1)]
    load = sift([record(0, decision(1)), *spoilt, record(9, decision(9))], {})
    assert [row.offset for row in load.rows["decision.made"]] == [0, 9]
    assert [aside.record_offset for aside in load.asides] == [1, 2, 3, 4, 5, 6, 7]
    assert [aside.value for aside in load.asides] == [value[:10_000] for value in poison]
    assert (load.positions[PLACE].next_offset, load.positions[PLACE].commit_lsn) == (10, 9)
