"""Tallies in PostgreSQL: two who count the same events in other orders, batches that are fenced, and users who leave."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import psycopg
import pytest
from psycopg.types.json import Jsonb

from fillip.cohort.positions_postgres import list_positions, restart_positions
from fillip.cohort.postgres import PostgresTallies
from fillip.cohort.reversals_postgres import add_up
from fillip.cohort.stage import Counted, LiveRule, ReversalSeen
from fillip.core.errors import Busy, Fenced, Refused
from fillip.core.ledger.reversal import ReversalRequest
from fillip.core.tally import CohortRule, Tally, make_term, unpack_tally
from fillip.migrations import role_dsn
from fillip.stream.belt import Batch, Position, Record, Span

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
    return Counted(rule, user, UUID(int=key), make_term(NOW - timedelta(seconds=ago_s), UUID(int=key)), NOW)


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


class Ledger:
    """What the worker has settled: reversals, and how far it is."""

    def __init__(self, owner: psycopg.Connection) -> None:
        self.owner = owner
        self.owner.execute(
            "INSERT INTO tenant (tenant_id, name, time_zone, currency, clock) VALUES ('acme', 'A', 'UTC', 'EUR', 'live')"
        )
        self.owner.execute(
            "INSERT INTO cohort (tenant_id, cohort_id, name, kind) VALUES ('acme', 'c', 'C', 'realtime')"
        )
        definition = msgspec.json.encode(RULE.definition).decode()
        self.owner.execute(
            "INSERT INTO cohort_rule (tenant_id, cohort_id, rule_id, action, definition, rule_checked, cost)"
            " VALUES ('acme', 'c', %s, 'BUY', %s, '', 1)",
            [RULE_ID, definition],
        )
        self.owner.execute(
            "INSERT INTO consumer_position (topic, partition, next_offset, owner) VALUES (%s, 0, 0, 'w')", [TOPIC]
        )

    def reverse(self, number: int, key: int, user: str, **asked: object) -> None:
        """As the worker stores one of an event that met no campaign."""
        self.owner.execute(
            "INSERT INTO reversal (tenant_id, reversal_key, reversal_id, reversal_source, event_key, event_id, event_source,"
            " user_id, request, state, reason, incentives, counters, quests, occurred_at, received_at)"
            " VALUES ('acme', %s, 'r', 's', %s, 'e', 's', %s, %s, 'waiting', 'unknown_event', '[]', '[]', '[]', now(), now())",
            [UUID(int=number), UUID(int=key), user, Jsonb({"event_id": "e"} | asked)],
        )

    def settle(self, next_offset: int) -> None:
        """The worker is past all before this offset."""
        self.owner.execute("UPDATE consumer_position SET next_offset = %s", [next_offset])


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    """Of a tenant whose cohort has the rule."""
    with psycopg.connect(database, autocommit=True) as owner:
        yield Ledger(owner)


def see(offset: int, key: int) -> ReversalSeen:
    return ReversalSeen(TOPIC, 0, offset, "acme", UUID(int=key), NOW)


def members(database: str) -> dict[str, bool]:
    return {user: is_member for user, is_member, _ in read(database)}


async def test_a_reversal_counts_once_the_worker_is_past_it(
    tallies: PostgresTallies, ledger: Ledger, database: str
) -> None:
    await tallies.claim(TOPIC, 0, 0, "a")
    await tallies.settle(batch(0, 4), [*(buy("ann", n, ago_s=n) for n in (1, 2, 3)), see(3, 1)])
    assert members(database) == {"ann": True}
    assert await tallies.reverse() == 0
    ledger.reverse(1, 1, "bob")  # hers it is not
    ledger.reverse(2, 1, "ann", amount=1, of=2)  # a part leaves an event that is counted
    ledger.settle(4)
    assert await tallies.reverse() == 1
    assert members(database) == {"ann": True}
    await tallies.settle(batch(4, 5), [see(4, 1)])
    ledger.reverse(3, 1, "ann")
    ledger.settle(5)
    assert (await tallies.reverse(), await tallies.reverse()) == (1, 0)
    assert members(database) == {"ann": False}
    await tallies.settle(batch(5, 7), [buy("ann", 1, ago_s=1), see(6, 1)])  # both come again
    ledger.settle(7)
    await tallies.reverse()
    assert members(database) == {"ann": False}
    await tallies.add([buy("ann", 4)])
    assert members(database) == {"ann": True}
    await tallies.add([buy("bob", n, ago_s=1) for n in (1, 5, 6)])  # the reversal of his first one was there before it
    assert members(database) == {"ann": True, "bob": False}


async def test_what_comes_under_a_merged_id_is_counted_for_who_that_is_by_now(
    tallies: PostgresTallies, ledger: Ledger, database: str
) -> None:
    """Given two events of hers and one that comes under an id that was merged into her, then these are three, until that one is taken back."""
    await tallies.claim(TOPIC, 0, 0, "a")
    await tallies.settle(batch(0, 2), [buy("ann", 1), buy("ann", 2)])
    ledger.owner.execute(
        "INSERT INTO user_merge (tenant_id, user_id, merge_id, asked_into, merged_into, moved)"
        " VALUES ('acme', 'old', 'm', 'ann', 'ann', '{}')"
    )
    await tallies.settle(batch(2, 3), [buy("old", 3), buy("bob", 4)])
    assert members(database) == {"ann": True, "bob": False}
    ledger.reverse(1, 3, "old")
    await tallies.settle(batch(3, 4), [see(3, 3)])
    ledger.settle(4)
    assert await tallies.reverse() == 1
    assert members(database) == {"ann": False, "bob": False}


async def test_any_order_of_events_and_reversals_ends_as_a_recount_of_what_is_left(
    tallies: PostgresTallies, ledger: Ledger, database: str
) -> None:
    """Given events and their reversals in any order and some twice, counted by two at once while the worker is ahead or behind."""
    chance = random.Random(2)
    events = {n: buy(f"u{n % 9}", n, ago_s=chance.uniform(0, 1500)) for n in range(60)}
    reversed_ = chance.sample(sorted(events), 25)
    await tallies.claim(TOPIC, 0, 0, "a")
    log: list[int] = chance.sample([*events, *events, *(~n for n in reversed_)], 2 * len(events) + len(reversed_))
    queue = [(offset, see(offset, ~n) if n < 0 else events[n]) for offset, n in enumerate(log)]

    async def count() -> None:
        at = 0
        while at < len(queue):
            end = min(len(queue), at + chance.randrange(1, 20))
            try:
                await tallies.settle(batch(at, end), [item for _, item in queue[at:end]])
                at = end
            except Busy:
                await asyncio.sleep(0)

    async def build() -> None:
        for _ in range(3):
            with contextlib.suppress(Busy):
                await tallies.add(chance.sample(list(events.values()), 40))

    async def decide() -> None:
        for offset, n in enumerate(log):
            if n < 0:
                ledger.reverse(1_000 + ~n, ~n, f"u{~n % 9}")
            ledger.settle(offset + 1)
            if offset % 10 == 0:
                await tallies.reverse()

    await asyncio.gather(count(), build(), decide())
    while await tallies.reverse():
        pass
    left = [user for n in events.keys() - set(reversed_) for user in [events[n].user_id]]
    assert {user for user, is_member in members(database).items() if is_member} == {
        u for u in left if left.count(u) >= 3
    }
    assert read(database, "SELECT count(*) FROM cohort_reversal") == [(0,)]


def test_parts_and_lines_add_up_as_the_ledger_adds_them() -> None:
    """A line that is back already, and what goes over the whole, takes nothing; without a part the rest goes."""

    def asked(**part: Any) -> ReversalRequest:
        return msgspec.convert({"event_id": "e"} | part, ReversalRequest)

    line = {"line": "sku", "amount": 200, "of": 200}
    parts = [asked(lines=[line], of=1000), asked(lines=[line], of=1000), asked(amount=900, of=1000)]
    assert add_up(parts) == Fraction(1, 5)
    assert add_up([*parts, asked(), asked()]) == 1
    assert add_up([]) == 0


async def test_a_batch_that_another_has_counted_changes_nothing(tallies: PostgresTallies, database: str) -> None:
    assert (await tallies.claim(TOPIC, 0, 10, "a")).next_offset == 10
    await tallies.settle(batch(10, 12), [buy("ann", 1)])
    with pytest.raises(Fenced):
        await tallies.settle(batch(10, 13), [buy("bob", 2)])
    assert [user for user, *_ in read(database)] == ["ann"]
    assert (await tallies.claim(TOPIC, 0, 3, "a")).next_offset == 12
    assert (await tallies.claim(TOPIC, 0, 40, "a")).next_offset == 40  # what lay before is gone
    assert (await tallies.claim(TOPIC, 0, 0, "made anew")).next_offset == 0


async def test_the_operator_lets_a_restored_log_be_counted_again(tallies: PostgresTallies, database: str) -> None:
    dsn = role_dsn(database, "fillip_cohort")
    await tallies.claim(TOPIC, 0, 10, "a")
    seen = await list_positions(dsn, TOPIC)
    assert seen == {0: Position(10, 0, "a")}
    await tallies.settle(batch(10, 12), [buy("ann", 1)])
    with pytest.raises(Refused, match="look again"):
        await restart_positions(dsn, TOPIC, seen, {0: 3})
    await restart_positions(dsn, TOPIC, await list_positions(dsn, TOPIC), {0: 3})
    assert (await tallies.claim(TOPIC, 0, 3, "a")).next_offset == 3


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
