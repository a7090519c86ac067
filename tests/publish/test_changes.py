"""All that happens to the ledger's rows is announced: changes, removals, and what a snapshot finds."""

import json
from typing import Any

from fillip.analyse.facts import sift
from fillip.deliver.frames import read_progress
from fillip.stream.belt import Record
from tests.publish import rows
from tests.publish.conftest import Site

CLAIM = "UPDATE incentive SET state = 'claimed', claimed_at = now()"
ENTRY = "INSERT INTO inbox (tenant_id, user_id, seq, incentive_id) SELECT tenant_id, user_id, 1, incentive_id FROM incentive"
ACK = "UPDATE inbox SET acked_at = now()"
TRANSFER = """
INSERT INTO wallet_transfer (tenant_id, transfer_id, user_id, currency, seq, kind, debit, credit, amount, lots, source_id,
    pending_after, active_after, made_at)
VALUES (%(tenant)s, gen_random_uuid(), 'ann', 'POINTS', %(seq)s, 'grant', 'issued', 'active', 5, '{}', 'x', 0, 5, now())
"""

LADDER = """
INSERT INTO ladder (tenant_id, currency, span, names, thresholds, filled_to)
VALUES (%(tenant)s, 'POINTS', 'lifetime', '{tin, silver}', '{0, 10}', NULL)
"""
PART = """
INSERT INTO wallet_part (tenant_id, currency, transfer_id, part, amount, lots, expiries, made_at)
VALUES (%(tenant)s, 'POINTS', gen_random_uuid(), %(part)s, 5, '{"b": -2, "a": -3}', '{2026-06-01 00:00+02, NULL}', now())
"""


def tell(messages: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    """Op and some columns of what each message tells of."""
    rows = [(each, each["after"] or each["before"]) for each in messages]
    return [(each["op"], *(row[name] for name in names)) for each, row in rows]


async def test_what_becomes_of_an_incentive_is_announced_as_it_then_stands(site: Site) -> None:
    async with site.publishing():
        site.grant(7)
        for statement in (CLAIM, ENTRY, ACK, "DELETE FROM incentive"):
            site.run(statement)
        changed = sorted(await site.read(site.topics.incentives, 2), key=lambda told: told["source"]["commit_lsn"])
        acked = await site.read(site.topics.acked, 1)
    number = "00000000-0000-0000-0000-000000000007"
    assert tell(changed, "incentive_id") == [("u", number), ("d", number)]
    assert changed[0]["after"]["state"] == "claimed"
    assert changed[1]["before"] == {"tenant_id": site.tenant, "incentive_id": number}
    assert tell(acked, "incentive_id", "kind") == [("u", number, "granted")]


async def test_points_and_limits_are_announced_as_they_move(site: Site) -> None:
    async with site.publishing():
        for seq in (1, 2):
            site.run(TRANSFER, seq=seq)
            site.run(PART, part=seq)
            site.run(rows.COUNTER, user="ann")
        site.run("DELETE FROM limit_counter")
        moved = await site.read(site.topics.moved, 2)
        drawn = await site.read(site.topics.drawn, 2)
        used = await site.read(site.topics.used, 3)
    assert tell(moved, "seq", "debit", "credit", "amount") == [("c", n, "issued", "active", 5) for n in (1, 2)]
    assert tell(drawn, "part", "expiries") == [("c", n, ["2026-05-31T22:00:00.000000Z", None]) for n in (1, 2)]
    assert list(drawn[0]["after"]["lots"].items()) == [("a", -3), ("b", -2)]
    assert tell(used[:2], "used", "version") == [("c", 1, 1), ("u", 2, 2)]
    assert used[2]["op"] == "d"
    assert used[2]["before"]["user_id"] == "ann"
    assert "used" not in used[2]["before"]


async def test_each_change_of_a_level_is_announced_once_with_what_comes_next(site: Site) -> None:
    """Given a user whom an incentive lifts to the second level, and who had none before."""
    site.run(LADDER)
    async with site.publishing():
        for number in (7, 24):
            site.grant(number)
        [told] = await site.read(site.topics.levels, 1)
        await site.read(site.topics.generated, 2)
    site.run("SELECT pg_drop_replication_slot('fillip_' || current_database())")
    async with site.publishing():
        first, again = await site.read(site.topics.levels, 2)
    assert (first, again["op"], again["after"]) == (told, "r", told["after"])
    names = ("user_id", "number", "direction", "from_level", "to_level", "earned", "next_level", "next_threshold")
    assert tell([told], *names) == [("c", "user 7 ü", 1, "up", "tin", "silver", 10, None, None)]


async def test_a_truncated_table_is_told_to_each_partition_once_between_what_came_before_and_after(site: Site) -> None:
    async with site.publishing():
        counters = [rows.COUNTER.replace("%(user)s", f"'user {number}'") for number in range(12)]
        for statement in (*counters, "TRUNCATE limit_counter, limit_part, wallet_transfer", *counters):
            site.run(statement)
        await site.read(site.topics.used, 28, emptied=True)
        await site.read(site.topics.moved, 4, emptied=True)
    # what was produced already is not told a second time
    site.run("TRUNCATE wallet_transfer")
    async with site.publishing():
        told = await site.read(site.topics.moved, 8, emptied=True)
        assert [message["op"] for message in told] == ["t"] * 8
        used = await site.read(site.topics.used, 28, emptied=True)
    assert len(used) == 28
    positions = [(message["op"], message["source"]["commit_lsn"]) for message in used]
    (cut,) = {lsn for op, lsn in positions if op == "t"}
    assert sorted(op for op, lsn in positions if lsn < cut) == ["c"] * 12
    assert sorted(op for op, lsn in positions if lsn > cut) == ["c"] * 12
    assert used[0]["source"]["table"] == "limit_counter"


async def test_a_truncated_table_is_told_on_each_topic_that_has_rows_of_it(site: Site) -> None:
    site.grant(7)
    async with site.publishing():
        site.run(CLAIM, "TRUNCATE incentive CASCADE")
        granted = await site.read(site.topics.generated, 1 + 4, emptied=True)
        changed = await site.read(site.topics.incentives, 1 + 4, emptied=True)
    for told, first in ((granted, "c"), (changed, "u")):
        assert sorted(message["op"] for message in told) == sorted([first, "t", "t", "t", "t"])
        assert {message["source"]["table"] for message in told} == {"incentive"}


async def test_a_snapshot_has_what_no_other_row_tells(site: Site) -> None:
    async with site.publishing():
        site.grant(7)
        site.run(TRANSFER, seq=1)
        await site.read(site.topics.moved, 1)
    site.run("SELECT pg_drop_replication_slot('fillip_' || current_database())")
    for statement in (ENTRY, ACK, CLAIM, rows.COUNTER):
        site.run(statement, user="ann")
    async with site.publishing():
        moved = await site.read(site.topics.moved, 2)
        (acked,) = await site.read(site.topics.acked, 1)
        (used,) = await site.read(site.topics.used, 1)
        generated = await site.read(site.topics.generated, 2)
    assert [message["op"] for message in moved] == ["c", "r"]
    assert tell([acked, used], "user_id") == [("r", "user 7 ü"), ("r", "ann")]
    assert tell(generated, "state") == [("c", "granted"), ("r", "claimed")]


def test_readers_pass_over_what_is_not_theirs() -> None:
    place = {"epoch": "e", "commit_lsn": 5, "index": 0, "table": "decision"}
    source = place | {"committed_at_us": 1, "published_at_us": 2}
    removed = {"op": "d", "before": {"tenant_id": "a"}, "after": None, "source": source}
    values = [removed, removed | {"op": "u", "after": {"tenant_id": "a"}}]
    records = [Record("decision.made", 0, at, json.dumps(value).encode(), b"a", 0) for at, value in enumerate(values)]
    load = sift(records, {})
    assert (load.asides, load.rows, [place.next_offset for place in load.positions.values()]) == ([], {}, [2])
    assert read_progress(json.dumps(removed).encode()) is None
