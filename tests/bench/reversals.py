"""Reversals: what they cost among grants, behind thousands of parts of one event, and in a quest of a quarter million events."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Any
from zlib import crc32

import asyncpg
import psycopg
import uvloop
from msgspec import json

from fillip.core.campaign.campaign import Campaign, CheckedExpression
from fillip.core.event import REVERSAL
from fillip.core.identity import identify_event
from fillip.core.schema.types import EMPTY, derive_type
from fillip.figures import Figure, at_least, at_most, expect, note
from fillip.ingest import Ingest
from fillip.manage.rule.checker import Expected, check_rule
from fillip.match import Meet
from fillip.match.numbers_postgres import PostgresNumbers
from fillip.match.postgres import PostgresBooks
from fillip.match.users_postgres import PostgresUsers
from fillip.migrations import role_dsn
from fillip.settle import Settle
from fillip.settle.postgres import PostgresLedger
from fillip.stream.belt import Batch, Record, Span
from tests.bench.load import ACTION, SCHEMA, TENANT, draw_events
from tests.bench.site import Site

TOPIC, PARTITIONS, SIZE, ROUNDS = "bench.reversals", 4, 1_000, 16
SHARES = (0, 2, 17)
"""Reversals of 100 messages."""
ALONE = 9  # reversals that are a batch of their own each, and timed
PARTS, PARTS_A_BATCH = 5_000, 500
GIFTS, GOAL = 250_000, 500_000
TERM = "event.member ? event.amount : 0 - event.amount"
Said = dict[str, Any]
HAT = 'event.category == "hat"'
QUEST: dict[str, Any] = {
    "kind": "QUEST",
    "name": "A sum",
    "quest": {
        "steps": [
            {"name": "visit", "action": ACTION, "rule": HAT, "count": 1},
            {"name": "spend", "action": ACTION, "rule": HAT, "sum": TERM, "at_least": GOAL},
        ],
        "ordered": False,
    },
    "rewards": [{"kind": "badge"}],
}
DATA: Said = {"amount": 1, "rating": 1.0, "category": "hat", "store": "none", "member": True, "tags": []}
"""A purchase that meets no rule of the load."""


def bench(site: Site) -> list[Figure]:
    """Throughput by the share of reversals, and the ms of one where much lies before it."""
    with site.database() as dsn:
        return uvloop.run(measure(dsn, site))


class Till:
    """A worker without a broker: its stages, and a log of four partitions that it writes itself."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.granted = self.applied = 0
        self._ledger = PostgresLedger(pool, "bench")
        self._ingest = Ingest(PostgresBooks(pool))
        self._meet = Meet(PostgresUsers(pool), PostgresNumbers(pool), lambda refusals: None)
        self._settle = Settle(self._ledger, self._report)
        self._ends = [0] * PARTITIONS

    async def open(self) -> None:
        """Claim the partitions."""
        for partition in range(PARTITIONS):
            await self._ledger.claim(TOPIC, partition, 0, "")

    async def settle(self, messages: Sequence[Said]) -> float:
        """Settle them as one batch; ms of the transaction."""
        batch = self._append(messages)
        items = await self._meet(await self._ingest(batch.records))
        began = time.perf_counter()
        await self._settle(batch, items)
        return (time.perf_counter() - began) * 1000

    def _append(self, messages: Sequence[Said]) -> Batch:
        starts, now, records = list(self._ends), datetime.now(UTC), []
        for said in messages:
            partition = crc32(said["subject"].encode()) % PARTITIONS
            value = json.encode({"specversion": "1.0", "source": "bench", **said, "tenantid": TENANT})
            records.append(Record(TOPIC, partition, self._ends[partition], value, None, int(now.timestamp() * 1000)))
            self._ends[partition] += 1
        spans = [Span(TOPIC, p, start, end) for p, (start, end) in enumerate(zip(starts, self._ends, strict=True))]
        return Batch(records, [span for span in spans if span.start < span.end], now)

    def _report(
        self, settled: Sequence[Any], rejections: Sequence[Any], doubles: int, reversed_: Sequence[Any]
    ) -> None:
        self.granted += sum(bool(each.incentives) for each in settled)
        self.applied += sum(each.state == "applied" for each in reversed_)


async def measure(dsn: str, site: Site) -> list[Figure]:
    """All of it on one ledger."""
    with psycopg.connect(dsn) as owner:
        add_quest(owner)
    async with asyncpg.create_pool(role_dsn(dsn, "fillip_worker"), min_size=1, max_size=2) as pool:
        till = Till(pool)
        await till.open()
        figures = await measure_shares(till, dsn, site)
        figures += await measure_parts(till, site)
        return figures + await measure_quest(till, dsn, site)


async def measure_shares(till: Till, dsn: str, site: Site) -> list[Figure]:
    """Batches with more and with fewer reversals by turns; each takes back a grant of the same batch or the one before.

    After the first of each the planner learns of the tables, as autovacuum lets it within a minute.
    """
    spent_ms: dict[int, list[float]] = {share: [] for share in SHARES}
    taken_back, last = 0, list[Said]()
    for number in range(ROUNDS):
        if number == 1:
            with psycopg.connect(dsn, autocommit=True) as owner:
                owner.execute("ANALYZE")
        for share in (*SHARES[number % 3 :], *SHARES[: number % 3]):
            batch, last = mix(number * 100 + share, share, last)
            taken_back += sum(said["type"] == REVERSAL for said in batch)
            spent_ms[share].append(await till.settle(batch))
    rates = {share: round(SIZE / median(some[1:]) * 1000) for share, some in spent_ms.items()}
    for share, rate in rates.items():
        site.tell(f"{share} % reversals: {rate:,} events/s")
    sent = ROUNDS * len(SHARES) * SIZE
    return [
        *(note(f"{share} % reversals, {SIZE:,} a batch", rate, "events/s") for share, rate in rates.items()),
        at_least("17 % reversals : none", 0.7, round(rates[17] / rates[0], 2)),
        expect("granted", sent - taken_back, till.granted),
        expect("taken back", taken_back, till.applied),
    ]


def mix(number: int, share: int, last: Sequence[Said]) -> tuple[list[Said], list[Said]]:
    """(a batch of which `share` of 100 messages are reversals, evenly strewn, and its purchases that stay)."""
    returns = SIZE * share // 100
    bought = list(draw_events(SIZE - returns, number * SIZE, 1))
    own, earlier = iter(bought[: SIZE // 2]), iter(last)
    every = SIZE // returns if returns else SIZE + 1
    batch, taken, purchases = list[Said](), set[str](), iter(bought)
    for place in range(SIZE):
        if returns and place % every == every - 1 and len(taken) < returns:
            original = next(own if len(taken) % 2 else earlier, None) or next(own)
            taken.add(original["id"])
            batch.append(take_back(original, f"r-{original['id']}"))
        else:
            batch.append(next(purchases))
    return batch, [each for each in bought if each["id"] not in taken]


def take_back(original: Said, reversal_id: str, **part: Any) -> Said:
    """A reversal of an event."""
    data = {"event_id": original["id"], **part}
    return {
        "id": reversal_id,
        "type": REVERSAL,
        "subject": original["subject"],
        "time": datetime.now(UTC),
        "data": data,
    }


async def measure_parts(till: Till, site: Site) -> list[Figure]:
    """One purchase, taken back in thousands of parts; the last of them alone."""
    [original] = draw_events(1, 90_000_000, 1)
    await till.settle([original])
    parts = [take_back(original, f"part-{n}", amount=1, of=PARTS) for n in range(PARTS)]
    before = till.applied
    first_ms = [await till.settle([part]) for part in parts[:ALONE]]
    for start in range(ALONE, PARTS - ALONE, PARTS_A_BATCH):
        await till.settle(parts[start : min(start + PARTS_A_BATCH, PARTS - ALONE)])
    last_ms = [await till.settle([part]) for part in parts[-ALONE:]]
    site.tell(f"parts of one purchase: {tell(first_ms)}, …, {tell(last_ms)} ms")
    return [
        note(f"each of the first {ALONE} parts of a purchase, alone", round(median(first_ms), 1), "ms"),
        at_most(f"each of the last of {PARTS:,}", 50, round(median(last_ms), 1), "ms"),
        expect("parts taken back", PARTS, till.applied - before),
    ]


def tell(spent_ms: Sequence[float]) -> str:
    """Each of these."""
    return ", ".join(f"{ms:.1f}" for ms in spent_ms)


async def measure_quest(till: Till, dsn: str, site: Site) -> list[Figure]:
    """A user whose purchases are terms of a sum: parts and wholes of some, below the goal and beyond it."""
    user = {"type": ACTION, "subject": "saver", "time": datetime.now(UTC), "data": DATA}
    first = {**user, "id": "saved-0"}
    await till.settle([first])
    with psycopg.connect(dsn) as owner:
        add_gifts(owner, GIFTS - 1)
    terms = [first | {"id": f"saved-{n}"} for n in range(ALONE)]
    half = {"amount": 1, "of": 2}
    spent_ms = [await till.settle([take_back(each, f"{each['id']}-whole")]) for each in terms]
    await till.settle([{**user, "id": "last", "data": DATA | {"amount": GOAL}}])
    with psycopg.connect(dsn) as owner:
        [(state,)] = owner.execute("SELECT state FROM quest_instance WHERE user_id = 'saver'").fetchall()
        site.tell(f"the sum is {state}")
    spent_ms.append(await till.settle([take_back({**user, "id": "last"}, "last-half", **half)]))
    debt = {**user, "id": "debt", "data": DATA | {"amount": GOAL // 2, "member": False}}
    await till.settle([debt])
    replay_ms = await till.settle([take_back(debt, "debt-whole")])
    with psycopg.connect(dsn) as owner:
        [(after, done)] = owner.execute(
            "SELECT state, (steps -> 1 ->> 'done')::int FROM quest_instance WHERE user_id = 'saver'"
        ).fetchall()
    site.tell(f"a sum of {GIFTS:,} purchases: {tell(spent_ms)} ms a reversal")
    return [
        at_most(f"a purchase out of a sum of {GIFTS:,}, the middle one", 50, round(median(spent_ms), 1), "ms"),
        note("one that opens the quest again and takes its reward", round(spent_ms[-1], 1), "ms"),
        note("a negative term near the goal: all events are replayed", round(replay_ms), "ms"),
        expect("the sum before and after a part of its last purchase", "completed, open", f"{state}, {after}"),
        expect("the sum", GIFTS - ALONE + GOAL // 2, done),
    ]


def add_quest(owner: psycopg.Connection) -> None:
    """A quest beside the campaigns of the load, as the control plane would have stored it, for one user alone."""
    json.decode(json.encode(QUEST), type=Campaign)
    rules = {f"quest.steps.{index}.rule": check(HAT) for index in (0, 1)}
    checked = json.encode(rules | {"quest.steps.1.sum": check(TERM, "int")}).decode()
    owner.execute(
        "INSERT INTO campaign (tenant_id, campaign_id, state, version) VALUES (%s, 'saved', 'running', 1)", [TENANT]
    )
    owner.execute(
        "INSERT INTO campaign_version (tenant_id, campaign_id, version, definition, checked)"
        " VALUES (%s, 'saved', 1, %s, %s)",
        [TENANT, json.encode(QUEST).decode(), checked],
    )


def check(source: str, expect: Expected = "bool") -> CheckedExpression:
    """A rule or term as the control plane stores it."""
    return CheckedExpression(check_rule(source, derive_type(SCHEMA), EMPTY, expect=expect).checked)


def add_gifts(owner: psycopg.Connection, more: int) -> None:
    """As many purchases of 1 as if each had been settled after the first."""
    parameters = {"tenant": TENANT, "more": more, "saved": identify_event(TENANT, "bench", "saved-0")}
    owner.execute(
        "INSERT INTO event_met SELECT tenant_id, md5('saved-' || n)::uuid, 'saved-' || n, event_source, fingerprint, user_id,"
        " action, occurred_at, received_at, attributes, partition, log_offset + n FROM event_met, generate_series(1, %(more)s) n"
        " WHERE tenant_id = %(tenant)s AND event_id = 'saved-0'",
        parameters,
    )
    owner.execute(
        "INSERT INTO quest_step_met (tenant_id, campaign_id, user_id, instance_key, occurrence, step, event_key, amount, day)"
        " SELECT tenant_id, campaign_id, user_id, instance_key, occurrence, step, md5('saved-' || n)::uuid, amount, day"
        " FROM quest_step_met, generate_series(1, %(more)s) n"
        " WHERE tenant_id = %(tenant)s AND event_key = %(saved)s AND step = 'spend' ORDER BY n",
        parameters,
    )
    for number in range(1, ALONE):  # those that are taken back are known by the name that a sender gave
        key = identify_event(TENANT, "bench", f"saved-{number}")
        for table in ("event_met", "quest_step_met"):
            owner.execute(
                f"UPDATE {table} SET event_key = %s WHERE tenant_id = %s AND event_key = md5(%s)::uuid",
                [key, TENANT, f"saved-{number}"],
            )
    owner.execute(
        "UPDATE quest_instance SET steps = jsonb_set(steps, '{1}', steps -> 1 || jsonb_build_object("
        "'done', 1 + %(more)s::int, 'total', 1 + %(more)s::int, 'peak', %(more)s::int, 'left', 1 + %(more)s::int))"
        " WHERE tenant_id = %(tenant)s AND user_id = 'saver'",
        parameters,
    )
    owner.commit()
    owner.autocommit = True
    owner.execute("VACUUM ANALYZE quest_step_met, event_met")
