"""Announcements as publish makes them, topics of a test's own, and a loader on real Kafka and DuckDB."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

from fillip.analyse import keep_loading
from fillip.analyse.duckdb.bay import DuckdbBay, sources
from fillip.analyse.report import CampaignDay, Question
from fillip.core.identity import identify
from fillip.stream.belt import Record
from fillip.stream.kafka import KafkaProducer, Tail
from fillip.stream.topics import Topics

WITHIN_S = 60.0
"""Only what never comes takes so long: a topic made anew is noticed after seconds, on a busy machine after many."""
EVERYTHING = Question("acme", date.min, date.max, None, 1000, (date.min, ""))

TABLES = (
    "",
    "decision",
    "rejection",
    "incentive",
    "incentive_change",
    "wallet_transfer",
    "quest_instance",
    "changed incentive",
    "inbox",
    "book_change",
    "limit_counter",
    "wallet_part",
    "level_change",
)
"""What each topic of `sources` tells of."""


def decision(number: int, *, op: str = "c", epoch: str = "e1", **columns: Any) -> dict[str, Any]:
    """The announcement of decision `number`, committed at LSN `number`; every third is denied."""
    granted = number % 3 != 0
    after = {
        "tenant_id": "acme",
        "decision_id": str(identify(str(number))),
        "campaign_id": "welcome",
        "campaign_version": 1,
        "event_id": f"e{number}",
        "event_source": "/till",
        "instance": "",
        "occurred_at": "2026-03-01T10:00:00.000000Z",
        "decided_at": "2026-03-01T10:00:01.000000Z",
        "user_id": f"u{number % 5}",
        "outcome": "granted" if granted else "denied",
        "reason": "granted" if granted else "limit",
        "local_day": "2026-03-01",
        "reward_values": [{"kind": "cashback", "value": 250, "currency": "EUR"}, {"kind": "points", "value": 5}],
        "limits": [{"limit_id": "x", "cap": 9}],
    }
    return announce("decision", number, op, epoch, after | columns)


def rejection(number: int, **columns: Any) -> dict[str, Any]:
    """The announcement of rejection `number`."""
    after = {
        "rejection_id": str(identify(str(number))),
        "tenant_id": "acme",
        "reason": "unknown_action",
        "received_at": "2026-03-01T23:59:59.000000Z",
        "topic": "event.received",
        "partition": 0,
        "log_offset": number,
        "detail": "told",
        "original": "e30=",
    }
    return announce("rejection", number, "c", "e1", after | columns)


def reversal(lsn: int, number: int, value: int, **columns: Any) -> dict[str, Any]:
    """The announcement that `value` was taken of the cashback of decision `number`."""
    after = {
        "tenant_id": "acme",
        "incentive_id": str(identify("incentive", str(number))),
        "decision_id": str(identify(str(number))),
        "campaign_id": "welcome",
        "user_id": f"u{number % 5}",
        "changed_at": "2026-03-02T10:00:00.000000Z",
        "kind": "cashback",
        "currency": "EUR",
        "changed_value": value,
    }
    return announce("incentive_change", lsn, "c", "e1", after | columns)


def incentive(number: int, **columns: Any) -> dict[str, Any]:
    """The announcement of the cashback of decision `number`."""
    after = {
        "tenant_id": "acme",
        "incentive_id": str(identify("incentive", str(number))),
        "decision_id": str(identify(str(number))),
        "campaign_id": "welcome",
        "user_id": f"u{number % 5}",
        "kind": "cashback",
        "value": 250,
        "currency": "EUR",
        "granted_at": "2026-03-01T10:00:01.000000Z",
    }
    return announce("incentive", number, "c", "e1", after | columns)


def transfer(
    number: int, kind: str, debit: str, credit: str, amount: int, *, op: str = "c", epoch: str = "e1", **columns: Any
) -> dict[str, Any]:
    """The announcement of transfer `number`, made on that day of March."""
    after = {
        "tenant_id": "acme",
        "transfer_id": str(identify("transfer", str(number))),
        "user_id": f"u{number % 5}",
        "currency": "POINTS",
        "kind": kind,
        "debit": debit,
        "credit": credit,
        "amount": amount,
        "made_at": f"2026-03-{number:02}T10:00:00.000001Z",
    }
    return announce("wallet_transfer", number, op, epoch, after | columns)


def part(number: int, day: int, lots: dict[str, int], **columns: Any) -> dict[str, Any]:
    """The announcement of part `number` of what lots gave later, on that day of March."""
    after = {
        "tenant_id": "acme",
        "currency": "POINTS",
        "transfer_id": str(identify("transfer", "1")),
        "part": number,
        "amount": -sum(lots.values()),
        "lots": lots,
        "expiries": None,
        "made_at": f"2026-03-{day:02}T10:00:00.000001Z",
    }
    return announce("wallet_part", number, "c", "e1", after | columns)


def level(
    number: int,
    direction: str,
    levels: tuple[str, str],
    changed_at: str,
    *,
    op: str = "c",
    epoch: str = "e1",
    **columns: Any,
) -> dict[str, Any]:
    """The announcement that a user came from one level to another, committed at LSN `number`."""
    after = {
        "tenant_id": "acme",
        "user_id": f"u{number % 5}",
        "currency": "POINTS",
        "number": number,
        "direction": direction,
        "from_level": levels[0],
        "to_level": levels[1],
        "earned": 500,
        "changed_at": changed_at,
    }
    return announce("level_change", number, op, epoch, after | columns)


def instance(
    number: int, lsn: int, *steps: tuple[int, int | None], epoch: str = "e1", **columns: Any
) -> dict[str, Any]:
    """The announcement of quest instance `number`, begun at 10:00, as of revision `lsn`: of each step how far it is of 2,
    and at which minute it was met.
    """
    after = {
        "tenant_id": "acme",
        "campaign_id": "tour",
        "user_id": f"u{number % 5}",
        "instance_key": "",
        "occurrence": number,
        "campaign_version": 1,
        "state": "open",
        "started_at": "2026-03-01T10:00:00.000000Z",
        "ends_at": None,
        "revision": lsn,
        "steps": [
            {"name": f"s{place}", "done": done, "needed": 2} | ({"met_at": f"2026-03-01T10:{at:02}:00Z"} if at else {})
            for place, (done, at) in enumerate(steps, 1)
        ],
    }
    return announce("quest_instance", lsn, "c" if lsn == 1 else "u", epoch, after | columns)


def event(
    event_id: str, *, tenant_id: str = "acme", user: str = "u1", time: str = "2026-03-01T10:00:00Z", **data: Any
) -> bytes:
    """An event as it stands in the log."""
    head = {"specversion": "1.0", "id": event_id, "source": "/till", "type": "PURCHASE", "subject": user, "time": time}
    return json.dumps(head | {"tenantid": tenant_id, "data": data}).encode()


def announce(table: str, lsn: int, op: str, epoch: str, after: dict[str, Any]) -> dict[str, Any]:
    """A message in the form of the contract."""
    source = {"epoch": epoch, "commit_lsn": lsn, "index": 0, "tx_id": 1, "table": table}
    return {"op": op, "after": after, "source": source | {"committed_at_us": lsn * 1_000_000, "published_at_us": 0}}


def emptied(table: str, lsn: int, epoch: str) -> dict[str, Any]:
    """The announcement that all rows of a table are gone, with which a snapshot begins."""
    return announce(table, lsn, "t", epoch, {}) | {"after": None}


def record(offset: int, message: dict[str, Any], topic: str = "decision.made", partition: int = 0) -> Record:
    """The message at a place in the log."""
    return Record(topic, partition, offset, json.dumps(message).encode(), b"acme:u", 0)


class BayWorld:
    """Topics and a DuckDB file of one test."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.bootstrap = bootstrap
        self.topics = Topics(prefix=f"{uuid.uuid4().hex[:8]}.")
        self.file = folder / "analyse.duckdb"
        self.producer = KafkaProducer(bootstrap, linger_ms=0)

    async def connect_anew(self) -> None:
        """Go on with another producer, one that never saw a topic missing."""
        await self.producer.close()
        self.producer = KafkaProducer(self.bootstrap, linger_ms=0)

    async def produce(self, *messages: dict[str, Any]) -> None:
        """Announce, keyed by user."""
        topics = dict(zip(TABLES, sources(self.topics), strict=True))
        await self.producer.send_many(
            [
                (topics[m["source"]["table"]], f"acme:{m['after'].get('user_id')}".encode(), json.dumps(m).encode())
                for m in messages
            ]
        )

    async def produce_emptied(self, topic: str, message: dict[str, Any]) -> None:
        """Tell it to both partitions of a topic."""
        await self.producer.post([(topic, None, json.dumps(message).encode(), number) for number in range(2)])

    async def produce_events(self, *values: bytes) -> None:
        """Send events, each by a user of its own."""
        await self.producer.send_many(
            [(self.topics.received, str(n).encode(), value) for n, value in enumerate(values)]
        )

    @asynccontextmanager
    async def bay(self) -> AsyncIterator[DuckdbBay]:
        """The facts, nobody loading."""
        async with DuckdbBay.open(self.file, self.topics) as bay:
            yield bay

    @asynccontextmanager
    async def loading(self) -> AsyncIterator[DuckdbBay]:
        """The facts, being loaded."""
        async with self.bay() as bay:
            loading = asyncio.create_task(keep_loading(bay, self.open_tail, self.topics.received))
            try:
                yield bay
            finally:
                loading.cancel()
                await asyncio.gather(loading, return_exceptions=True)

    def open_tail(self, offsets: Mapping[tuple[str, int], int]) -> Tail:
        """All topics from the stored offsets on."""
        return Tail(self.bootstrap, sources(self.topics), from_end=False, offsets=offsets)


async def count(bay: DuckdbBay) -> int:
    """All decisions of acme."""
    days: list[CampaignDay] = list(await bay.report_campaign_days(EVERYTHING))
    return sum(day.granted + sum(day.denied.values()) for day in days)


async def until_count(bay: DuckdbBay, wanted: int) -> None:
    """Wait until so many decisions are there."""

    async def holds() -> bool:
        return await count(bay) == wanted

    await until(holds)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(WITHIN_S):
        while not await holds():
            await asyncio.sleep(0.05)
