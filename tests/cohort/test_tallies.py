"""Tallies in PostgreSQL: two who count the same events in other orders, batches that are fenced, and users who leave."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import psycopg
import pytest

from fillip.cohort.postgres import PostgresTallies
from fillip.cohort.stage import Counted, LiveRule
from fillip.core.errors import Busy, Fenced
from fillip.core.tally import CohortRule, Tally, make_term, unpack_tally
from fillip.migrations import role_dsn
from fillip.stream.belt import Batch, Record, Span

RULE_ID = UUID(int=7)
RULE = LiveRule("acme", RULE_ID, CohortRule("BUY", at_least=3, window_s=3600), lambda *_: True, None)
NOW = datetime.now(UTC)
TOPIC = "event.received"


@pytest.fixture
async def tallies(database: str) -> AsyncIterator[PostgresTallies]:
    """Of a database without any."""
    async with asyncpg.create_pool(role_dsn(database, "fillip_cohort"), min_size=1, max_size=4) as pool:
        yield PostgresTallies(pool)


def read(database: str, query: str = "SELECT user_id, is_member, terms FROM cohort_tally") -> list[tuple[Any, ...]]:
    with psycopg.connect(database) as owner:
        return owner.execute(query).fetchall()


def buy(user: str, key: int, *, ago_s: float = 0, rule: LiveRule = RULE) -> Counted:
    return Counted(rule, user, make_term(NOW - timedelta(seconds=ago_s), UUID(int=key)), NOW)


def batch(start: int, end: int) -> Batch:
    records = [Record(TOPIC, 0, offset, b"", None, 1_700_000_000_000) for offset in range(start, end)]
    return Batch(records, [Span(TOPIC, 0, start, end)], NOW)


async def test_two_who_count_the_same_in_pieces_and_in_any_order_leave_what_one_would(
    tallies: PostgresTallies, database: str
) -> None:
    chance = random.Random(1)
    events = [
        buy(f"u{n % 17}", n, ago_s=chance.choice((chance.uniform(0, 1500), chance.uniform(5400, 7000))))
        for n in range(120)
    ]

    async def count_all() -> None:
        mine = chance.sample(events, len(events))
        while mine:
            piece, mine = mine[:23], mine[23:]
            while True:
                try:
                    await tallies.add(piece)
                    break
                except Busy:  # as the belt does: another has made one of them
                    continue

    await asyncio.gather(count_all(), count_all(), count_all())
    wanted = {}
    for user in {event.user_id for event in events}:
        tally = Tally().add([each.term for each in events if each.user_id == user], RULE.definition, NOW)
        if tally.terms:
            wanted[user] = (tally.stand(RULE.definition, NOW).is_member, tally)
    found = {user: (is_member, unpack_tally(terms)) for user, is_member, terms in read(database)}
    assert found == wanted
    assert {is_member for is_member, _ in found.values()} == {True, False}


async def test_a_batch_that_another_has_counted_changes_nothing(tallies: PostgresTallies, database: str) -> None:
    assert (await tallies.claim(TOPIC, 0, 10, "a")).next_offset == 10
    await tallies.settle(batch(10, 12), [buy("ann", 1)])
    with pytest.raises(Fenced):
        await tallies.settle(batch(10, 13), [buy("bob", 2)])
    assert [user for user, *_ in read(database)] == ["ann"]
    assert (await tallies.claim(TOPIC, 0, 3, "a")).next_offset == 12
    assert (await tallies.claim(TOPIC, 0, 40, "a")).next_offset == 40  # what lay before is gone
    assert (await tallies.claim(TOPIC, 0, 0, "made anew")).next_offset == 0


async def test_users_leave_as_their_windows_end_and_are_forgotten_when_nothing_counts(
    tallies: PostgresTallies, database: str
) -> None:
    await tallies.add([buy(user, key) for key, user in enumerate(["ann", "bob", "eve"] * 3)])
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("UPDATE cohort_tally SET is_listed = true WHERE user_id = 'bob'")
        owner.execute("UPDATE cohort_tally SET leaves_at = now(), forget_at = now() WHERE user_id IN ('bob', 'eve')")
    assert await tallies.move_due(["rival"]) == 0
    await tallies.move_due(["acme"])
    assert sorted(read(database, "SELECT user_id, is_member, is_listed FROM cohort_tally")) == [
        ("ann", True, False),
        ("bob", False, True),  # until the list says so
    ]
    assert await tallies.move_due(["acme"]) == 0


async def test_what_was_counted_by_a_rule_that_was_left_goes(tallies: PostgresTallies, database: str) -> None:
    await tallies.add([buy(f"u{n}", n) for n in range(5)])
    assert await tallies.forget_left() == 0
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("INSERT INTO cohort_rule_left VALUES ('acme', %s, now() - interval '2 minutes')", [RULE_ID])
    assert await tallies.forget_left() == 5
    assert await tallies.forget_left() == 0
    assert read(database, "SELECT rule_id FROM cohort_rule_left") == []


async def test_one_leads_and_another_takes_over(tallies: PostgresTallies, database: str) -> None:
    async with asyncpg.create_pool(role_dsn(database, "fillip_cohort"), min_size=1, max_size=1) as pool:
        other = PostgresTallies(pool)
        waiting = other.lead()
        async with tallies.lead():
            taking = asyncio.create_task(waiting.__aenter__())
            await asyncio.wait({taking}, timeout=1.5)
            assert not taking.done()
        await asyncio.wait_for(taking, 5)
        await waiting.__aexit__(None, None, None)
