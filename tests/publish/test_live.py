"""Live hours: as the ledger has them when quiet, whatever happened to Valkey and to the publisher meanwhile."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from fillip.core.errors import Retry
from fillip.core.live import HOURS
from fillip.core.projection import name_live, name_live_campaign
from fillip.publish import live
from fillip.publish.live import (
    HourChange,
    HourCounts,
    RowCounter,
    Rows,
    Visibility,
    list_counted,
    list_hours,
    name_first_hour,
    read_visibility,
)
from fillip.publish.live_valkey import ValkeyLiveCounts
from fillip.publish.pgoutput import Column, Relation, Row
from tests.publish.conftest import Site, wait_until

DECIDE = """
WITH made AS (
    INSERT INTO decision (tenant_id, decision_id, campaign_id, campaign_version, event_key, event_id, event_source, user_id,
        outcome, reason, occurred_at, local_day, reward_values, limits, book_version, partition, log_offset, decided_at)
    SELECT %(tenant)s, gen_random_uuid(), %(campaign)s, 1, gen_random_uuid(), 'e', '/till', 'ann', %(outcome)s, 'x', now(),
        '2026-01-31', '[]', '[]', 1, 0, 1, %(at)s FROM generate_series(1, %(count)s)
    RETURNING decision_id, decided_at
)
INSERT INTO incentive (tenant_id, incentive_id, decision_id, campaign_id, user_id, event_id, event_source, reward_index,
    kind, value, currency, state, inbox_seq, occurred_at, received_at, taken_at, granted_at)
SELECT %(tenant)s, gen_random_uuid(), decision_id, %(campaign)s, 'ann', 'e', '/till', 0, kind, 7, currency, 'granted', 1,
    now(), now(), now(), decided_at
FROM made, (VALUES ('cashback', 'EUR'), ('points', 'POINTS'), ('badge', NULL)) AS r (kind, currency)
WHERE %(outcome)s = 'granted'
"""
REVERSE = """
WITH taken AS (
    UPDATE incentive SET reversed_value = reversed_value + %(value)s
    WHERE tenant_id = %(tenant)s AND campaign_id = %(campaign)s AND kind = ANY (%(kinds)s) RETURNING *
)
INSERT INTO incentive_change (tenant_id, user_id, inbox_seq, incentive_id, decision_id, campaign_id, event_id, event_source,
    kind, value, currency, granted_at, change, changed_value, reversed_value)
SELECT tenant_id, gen_random_uuid(), 1, incentive_id, decision_id, campaign_id, event_id, event_source, kind, value,
    currency, granted_at, 'reversed', %(value)s, reversed_value FROM taken
UNION ALL
SELECT tenant_id, gen_random_uuid(), 1, incentive_id, decision_id, campaign_id, event_id, event_source, kind, value,
    currency, granted_at, 'expired', value - reversed_value, reversed_value FROM taken
"""
TRUTH = """
SELECT hour, sum(granted)::int, sum(denied)::int, coalesce(jsonb_object_agg(kind, value) FILTER (WHERE value IS NOT NULL), '{}'),
    coalesce(jsonb_object_agg(kind, taken) FILTER (WHERE taken > 0), '{}') FROM (
    SELECT date_trunc('hour', decided_at, 'UTC') AS hour, count(*) FILTER (WHERE outcome = 'granted') AS granted,
        count(*) FILTER (WHERE outcome = 'denied') AS denied, '' AS kind, NULL::numeric AS value,
        NULL::numeric AS taken
    FROM decision WHERE tenant_id = %(tenant)s AND campaign_id = %(campaign)s AND decided_at >= %(since)s GROUP BY 1
    UNION ALL
    SELECT date_trunc('hour', granted_at, 'UTC'), 0, 0, kind || ':' || coalesce(currency, ''), sum(value), NULL
    FROM incentive WHERE tenant_id = %(tenant)s AND campaign_id = %(campaign)s AND granted_at >= %(since)s
    GROUP BY 1, kind, currency
    UNION ALL
    SELECT date_trunc('hour', granted_at, 'UTC'), 0, 0, kind || ':' || coalesce(currency, ''), NULL, sum(changed_value)
    FROM incentive_change WHERE tenant_id = %(tenant)s AND campaign_id = %(campaign)s AND granted_at >= %(since)s
        AND change = 'reversed'
    GROUP BY 1, kind, currency) t
GROUP BY 1 ORDER BY 1 DESC
"""


@pytest.fixture
async def live_valkey(site: Site) -> AsyncIterator[Redis]:
    async with Redis.from_url(site.addresses.valkey_url) as client:
        yield client


def decide(site: Site, campaign: str, count: int = 1, outcome: str = "granted", hours_ago: float = 0) -> None:
    at = datetime.now(UTC) - timedelta(hours=hours_ago)
    site.run(DECIDE, campaign=campaign, count=count, outcome=outcome, at=at)


def reverse(site: Site, campaign: str, value: int, *kinds: str) -> None:
    site.run(REVERSE, campaign=campaign, value=value, kinds=list(kinds))


async def tell(site: Site, client: Redis, campaign: str) -> tuple[list[Any], list[Any]]:
    """What is told of a campaign, and what the ledger says."""
    found = await ValkeyLiveCounts(client).read(site.tenant, campaign)
    told = [(hour, sums.granted, sums.denied, sums.spend, sums.reversed) for hour, sums in found.hours.items()]
    asked = {"tenant": site.tenant, "campaign": campaign, "since": found.since}
    with psycopg.connect(site.owner_dsn) as owner:
        return told, owner.execute(TRUTH, asked).fetchall()


async def wait_for_truth(site: Site, client: Redis, *campaigns: str, hours: int | None = None) -> None:
    """Until all of it is told as the ledger has it, and in so many hours of the first campaign."""

    async def agrees() -> bool:
        try:
            pairs = [await tell(site, client, campaign) for campaign in campaigns]
        except Retry:
            return False
        return all(told == truth for told, truth in pairs) and hours in (None, len(pairs[0][0]))

    await wait_until(agrees)


async def test_hours_are_told_as_the_ledger_has_them(site: Site, live_valkey: Redis) -> None:
    # given decisions of before the publisher started, some too long ago
    decide(site, "c", 3)
    decide(site, "c", 2, "denied", hours_ago=5)
    decide(site, "c", 1, hours_ago=HOURS + 2)
    decide(site, "other", 4, hours_ago=1)
    async with site.publishing():
        await wait_for_truth(site, live_valkey, "c", "other", hours=2)
        # when more come, of these campaigns and of a new one
        decide(site, "c", 2)
        decide(site, "c", 1, "denied")
        decide(site, "c", 1, hours_ago=3)
        decide(site, "new", 1)
        await wait_for_truth(site, live_valkey, "c", "other", "new", hours=3)
        told, _ = await tell(site, live_valkey, "c")
        assert sum(granted for _, granted, *_ in told) == 6
        assert (await ValkeyLiveCounts(live_valkey).read(site.tenant, "none")).hours == {}


async def test_what_is_reversed_counts_in_the_hour_of_the_decision(site: Site, live_valkey: Redis) -> None:
    # given a reversal of before the publisher started, and one of what was granted too long ago
    decide(site, "c", 3, hours_ago=3)
    decide(site, "old", 1, hours_ago=HOURS + 2)
    reverse(site, "c", 2, "cashback")
    reverse(site, "old", 2, "cashback")
    async with site.publishing():
        await wait_for_truth(site, live_valkey, "c", "old", hours=1)
        # when more is taken, also of what was granted since; what expires stays spent
        decide(site, "c", 2)
        reverse(site, "c", 3, "cashback", "points")
        reverse(site, "old", 3, "cashback")
        await wait_for_truth(site, live_valkey, "c", "old", hours=2)
        told, _ = await tell(site, live_valkey, "c")
        assert [taken for *_, taken in told] == [
            {"cashback:EUR": 6, "points:POINTS": 6},
            {"cashback:EUR": 15, "points:POINTS": 9},
        ]
        # and all of it comes back when Valkey has lost it
        names = [name async for name in live_valkey.scan_iter(match=f"live:{{{site.tenant}}}*", count=10_000)]
        await live_valkey.delete(*names)
        await wait_for_truth(site, live_valkey, "c", "old", hours=2)


async def test_what_is_until_when_moves_on_while_nothing_happens(site: Site, live_valkey: Redis) -> None:
    decide(site, "c")
    async with site.publishing():
        await wait_for_truth(site, live_valkey, "c", hours=1)
        first = (await ValkeyLiveCounts(live_valkey).read(site.tenant, "c")).as_of

        async def has_moved() -> bool:
            return (await ValkeyLiveCounts(live_valkey).read(site.tenant, "c")).as_of > first + timedelta(seconds=1)

        await wait_until(has_moved)
        assert abs((datetime.now(UTC) - first).total_seconds()) < 60


async def test_what_valkey_loses_comes_back_by_itself(site: Site, live_valkey: Redis) -> None:
    for campaign in ("c", "d"):
        decide(site, campaign, 2, hours_ago=2)
        decide(site, campaign, 3)
    async with site.publishing():
        await wait_for_truth(site, live_valkey, "c", "d", hours=2)
        # all of the tenant, as after FLUSHALL (other tests share this server)
        names = [name async for name in live_valkey.scan_iter(match=f"live:{{{site.tenant}}}*", count=10_000)]
        assert len(names) == 3
        await live_valkey.delete(*names)
        with pytest.raises(Retry, match="added up"):
            await ValkeyLiveCounts(live_valkey).read(site.tenant, "c")
        await wait_for_truth(site, live_valkey, "c", "d", hours=2)
        # one campaign, as where Valkey is full: what is left of it must not pass for all
        run_id = (await live_valkey.get(name_live(site.tenant)) or b"").decode().split()[0]  # type: ignore[union-attr]
        await live_valkey.delete(name_live_campaign(site.tenant, run_id, "c"))
        decide(site, "c")
        await wait_for_truth(site, live_valkey, "c", hours=2)
        await live_valkey.delete(name_live_campaign(site.tenant, run_id, "d"))
        await wait_for_truth(site, live_valkey, "d", hours=2)


async def test_a_publisher_that_is_killed_again_and_again_counts_each_decision_once(
    site: Site, live_valkey: Redis
) -> None:
    chance = random.Random(7)

    def work() -> None:
        """Decisions in transactions that are open for a while, of which some are given up."""
        with psycopg.connect(site.owner_dsn) as one, psycopg.connect(site.owner_dsn) as two:
            for number in range(60):
                connection = (one, two)[number % 2]
                at = datetime.now(UTC) - timedelta(hours=chance.choice([0, 0, 1]))
                outcome = chance.choice(["granted", "denied"])
                asked = {"tenant": site.tenant, "campaign": f"c{number % 3}", "count": 2, "outcome": outcome, "at": at}
                connection.execute(DECIDE, asked)
                if number % 5 == 4:  # of what has been committed, and of what stands in this transaction
                    connection.execute(REVERSE, asked | {"value": 1, "kinds": ["points"]})
                if number % 4 > 1:
                    (connection.rollback if number % 12 == 3 else connection.commit)()

    working = asyncio.create_task(asyncio.to_thread(work))
    await site.break_off(chance)
    async with site.publishing():
        await working
        await wait_for_truth(site, live_valkey, "c0", "c1", "c2")
        told, _ = await tell(site, live_valkey, "c0")
        assert any(taken for *_, taken in told)


NOW = datetime.now(UTC)
HOUR = name_first_hour(NOW)


def change(tx_id: int, tenant: str = "acme", hour: str = HOUR, campaign: str = "c") -> HourChange:
    return HourChange(tx_id, tenant, campaign, hour, granted=1, kind="points:POINTS", value=tx_id)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=25),
    st.integers(0, 30),
    st.integers(0, 30),
    st.sampled_from([1, 2**32 - 10]),
)
def test_whenever_the_snapshot_is_taken_each_transaction_counts_once(
    spans: list[tuple[int, int]], heard_from: int, waited: int, first_id: int
) -> None:
    """Transactions begin and commit at these instants. The WAL is heard from one on, the snapshot is taken later."""
    snapshot_at = heard_from + waited
    ids = {
        index: (first_id + place) % 2**32
        for place, index in enumerate(sorted(range(len(spans)), key=lambda i: min(spans[i])))
    }
    transactions = sorted((max(span), min(span), ids[index]) for index, span in enumerate(spans))
    seen = {tx_id for ended, _, tx_id in transactions if ended < snapshot_at}
    begun = {tx_id for _, began, tx_id in transactions if began < snapshot_at}
    running = sorted(begun - seen, key=lambda tx_id: (tx_id - first_id) % 2**32)
    next_id = (first_id + len(begun)) % 2**32
    visibility = Visibility(running[0] if running else next_id, next_id, frozenset(running))
    counts = HourCounts()
    counts.keep(HOUR)
    counts.note([change(tx_id) for ended, _, tx_id in transactions if heard_from <= ended < snapshot_at])
    counts.begin(visibility)
    counts.load([change(tx_id) for tx_id in seen])
    counts.note([change(tx_id) for ended, _, tx_id in transactions if ended >= snapshot_at])
    # and a WAL that tells again what was told before the publisher began
    counts.note([change(tx_id) for ended, _, tx_id in transactions if ended < heard_from])
    [[sums]] = [hours.values() for hours in counts.sums["acme"].values()]
    assert (sums.granted, sums.spend["points:POINTS"]) == (len(spans), sum(ids.values()))


def test_what_a_snapshot_has_seen_is_read_from_postgres_words() -> None:
    assert read_visibility("4294967297:4294967301:4294967297,4294967299") == Visibility(1, 5, frozenset({1, 3}))
    assert read_visibility("10:10:") == Visibility(10, 10, frozenset())


def test_a_tenant_with_very_many_loses_its_oldest_hours_and_nobody_else_loses_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "MOST_CELLS", 100)
    counts, hours = HourCounts(), list_hours(HOUR, HOURS)
    counts.keep(HOUR)
    counts.begin(Visibility(1, 1, frozenset()))
    counts.note([change(5, "small", hour) for hour in hours])
    counts.note([change(5, "crowd", hour, f"c{n}") for hour in hours for n in range(10)])
    assert len(counts.sums["small"]["c"]) == HOURS
    assert {hour for each in counts.sums["crowd"].values() for hour in each} == set(hours[-7:])
    assert counts.since == {"crowd": hours[-7]}
    counts.note([change(5, "crowd", hours[0])])  # what is not whole is not told at all
    assert counts.sums["crowd"]["c0"].keys() == set(hours[-7:])
    assert "c" not in counts.sums["crowd"]


def test_hours_that_are_over_or_have_not_come_are_not_kept() -> None:
    counts, hours = HourCounts(), list_hours(HOUR, 3)
    counts.keep(hours[0])
    counts.begin(Visibility(1, 1, frozenset()))
    counts.note([change(5, hour=hour) for hour in (*hours, "9998-12-31 23", "0044-03-15 12")])
    counts.keep(hours[2])
    counts.forget("acme")
    assert counts.sums["acme"]["c"].keys() == {hours[2]}


def test_rows_of_the_log_are_counted_by_what_they_add_to_and_those_of_no_hour_are_not() -> None:
    decision = Relation(
        "decision", tuple(Column(name, 25) for name in ("outcome", "decided_at", "tenant_id", "campaign_id"))
    )
    names = ("tenant_id", "campaign_id", "granted_at", "kind", "currency", "value")
    incentive = Relation("incentive", tuple(Column(name, 25) for name in names))
    at, counter = b"2026-01-31 09:30:00.5+00", RowCounter()
    rows: Rows = {}
    for outcome, instant in ((b"granted", at), (b"granted", at), (b"denied", at), (b"denied", b"-infinity")):
        counter.count(Row(decision, "c", [outcome, instant, b"acme", b"c"]), 7, rows)
    counter.count(Row(decision, "u", [b"granted", at, b"acme", b"c"]), 7, rows)
    for kind, currency, value in ((b"points", b"POINTS", b"5"), (b"points", b"POINTS", b"6"), (b"badge", None, b"0")):
        counter.count(Row(incentive, "c", [b"acme", b"c", at, kind, currency, value]), 7, rows)
    counter.count(Row(Relation("tenant", ()), "c", []), 7, rows)
    changed = Relation("incentive_change", tuple(Column(name, 25) for name in (*names[:5], "changed_value", "change")))
    for value, what in ((b"2", b"reversed"), (b"1", b"reversed"), (b"8", b"expired")):
        counter.count(Row(changed, "c", [b"acme", b"c", at, b"points", b"POINTS", value, what]), 7, rows)
    place: Any = {"tx_id": 7, "tenant_id": "acme", "campaign_id": "c", "hour": "2026-01-31 09"}
    assert list(list_counted(rows)) == [
        HourChange(**place, granted=2),
        HourChange(**place, denied=1),
        HourChange(**place, kind="points:POINTS", value=11),
        HourChange(**place, kind="badge:", value=0),
        HourChange(**place, kind="points:POINTS", reversed=3),
    ]
