"""The publisher: follows the slot, announces on the topics, feeds the projection; begins anew after every fault."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import Any

import structlog
from msgspec import DecodeError, Struct, json

from fillip.core.errors import Crash, Retry
from fillip.publish import metrics
from fillip.publish.announce import Announcer, Done, WalPiece
from fillip.publish.aside import tell_asides
from fillip.publish.board_postgres import PostgresScores
from fillip.publish.board_valkey import ValkeyBoards
from fillip.publish.duty import Duty
from fillip.publish.envelope import SourceWriter, WalPlace
from fillip.publish.in_flight import InFlight
from fillip.publish.live_postgres import PostgresHours
from fillip.publish.live_valkey import ValkeyLive
from fillip.publish.postgres import (
    ANNOUNCED,
    Identity,
    Link,
    PostgresCounters,
    Slot,
    SlotTaken,
    emit_heartbeats,
    watch_slot,
)  # fmt: skip
from fillip.publish.routes import list_routes, list_urgent
from fillip.publish.scribe import Message, Scribe
from fillip.publish.snapshot import FIRST_INDEX, list_marks, write_snapshot
from fillip.publish.spool import Spool, SpoolFull
from fillip.publish.valkey import ValkeyProjection
from fillip.stream.belt import Record, StreamError
from fillip.stream.kafka import KafkaProducer, LogEnds, Offsets, read_last
from fillip.stream.pause import Pause
from fillip.stream.topics import Partition, Topics

REPORT_EVERY_S = 1.0
WATCH_EVERY_S = 1.0
TAKE_OVER_EVERY_S = 0.5
HEARTBEAT_EVERY_S = 0.25
ACKNOWLEDGED_WITHIN_S = 5.0
LINGER_MS = 25
CANCEL_EVERY_S = 0.1
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0

log = structlog.get_logger()


class _Source(Struct):
    epoch: str
    commit_lsn: int
    index: int


class _Announced(Struct):
    source: _Source


async def publish(
    *, dsn: str, bootstrap: str, topics: Topics, valkey_url: str, stop: asyncio.Event,
    security: Mapping[str, Any] | None = None, duty: Duty | None = None,
) -> None:  # fmt: skip
    """Announce until `stop` is set; what is on its way then is waited for.

    `dsn` is of role fillip_publish, `security` what librdkafka needs for TLS and SASL. `duty` tells meanwhile whether the
    WAL is being read. One publisher a database: a second one waits for the slot. A server that is away
    is waited for with a growing pause, and so is whatever nobody foresaw; what is wrong with one row stops no other, see
    Scribe. Raises Crash where trying again cannot help.
    """
    duty = duty or Duty()
    watching = asyncio.create_task(_watch(dsn, duty))
    try:
        await _keep_publishing(dsn, bootstrap, topics, valkey_url, stop, security or {}, duty)
    finally:
        await _cancel([watching])


async def _keep_publishing(
    dsn: str,
    bootstrap: str,
    topics: Topics,
    valkey_url: str,
    stop: asyncio.Event,
    security: Mapping[str, Any],
    duty: Duty,
) -> None:
    pause, streaming = Pause(FIRST_PAUSE_S, LONGEST_PAUSE_S), True
    while not stop.is_set():
        began_at = time.monotonic()
        try:
            attempt = _Publisher(dsn, bootstrap, topics, valkey_url, security, duty, streaming=streaming)
            await attempt.follow(stop)
        except Crash:
            raise
        except Exception as error:  # an end would stop all tenants, and start again at the same place
            if time.monotonic() - began_at > 2 * LONGEST_PAUSE_S:
                pause.reset()
            duty.take("connecting")
            streaming = streaming and not isinstance(error, SpoolFull)  # the server keeps them then
            foreseen = isinstance(error, Retry | StreamError)
            told = None if foreseen else error
            log.warning("publishing waits, again in %.1f s: %s", pause.next_s, error, exc_info=told)
            metrics.faults.inc(not foreseen)
            await _run_until_first(stop.wait(), pause.take())


class _Publisher:
    """One attempt: from connecting to the first fault."""

    def __init__(
        self, dsn: str, bootstrap: str, topics: Topics, valkey_url: str,
        security: Mapping[str, Any], duty: Duty, *, streaming: bool,
    ) -> None:  # fmt: skip
        self._spool, self._streaming = Spool(), streaming
        self._dsn, self._bootstrap, self._valkey_url = dsn, bootstrap, valkey_url
        self._security, self._duty = security, duty
        self._routes, self._urgent = list_routes(topics), list_urgent(topics)
        self._topics = topics
        self._told = [*sorted({*self._routes.values(), topics.unannounced}), topics.heartbeat]
        # For ever: a gap would lose some. Only what a person waits for goes at once.
        self._producer = KafkaProducer(bootstrap, give_up_after_s=0, extra=security)
        self._patient = KafkaProducer(bootstrap, give_up_after_s=0, linger_ms=LINGER_MS, extra=security)

    async def follow(self, stop: asyncio.Event) -> None:
        """Announce until `stop` or a fault, which is raised."""
        try:
            async with Link.open(self._dsn) as link:
                if (place := await self._take_slot(link, stop)) is None:
                    return
                slot, epoch = place  # from here on no other publisher is at work, so Kafka's end stands
                records = await read_last(self._bootstrap, self._told, self._security)
                ends = await self._read_ends(self._told[:-1])
                last = {place: read_source(record) if record else None for place, record in records.items()}
                epoch = epoch or choose_epoch(link.identity, slot, last)
                log.info("publishing from %X, epoch %s", slot.confirmed_lsn, epoch)
                self._duty.take("reading", epoch)
                scribe = self._build_scribe(link, epoch)
                announcer = Announcer(scribe, find_done(last, epoch), self._spool)
                in_flight = InFlight(slot.confirmed_lsn, ends)
                projection = ValkeyProjection(self._valkey_url, PostgresCounters(self._dsn), epoch)
                live = ValkeyLive(self._valkey_url, PostgresHours(self._dsn))
                boards = ValkeyBoards(self._valkey_url, PostgresScores(self._dsn))

                def mirror(piece: WalPiece) -> None:
                    projection.note(piece.counters)
                    live.note(piece.decided, piece.newest_us)
                    boards.note(piece.touched, piece.newest_us)

                announcing = self._announce(link, announcer, in_flight, mirror, scribe)
                await self._follow(link, in_flight, stop, announcing, projection.run(), live.run(), boards.run())
        finally:
            self._spool.close()
            await self._producer.close()
            await self._patient.close()

    async def _follow(
        self, link: Link, in_flight: InFlight, stop: asyncio.Event, *jobs: Coroutine[Any, Any, None]
    ) -> None:
        try:
            beating, reporting, losing = _beat(self._dsn), _report(link, in_flight), self._duty.wait_for_loss()
            await _run_until_first(*jobs, reporting, losing, beating, stop.wait())
        finally:
            await in_flight.wait(ACKNOWLEDGED_WITHIN_S if stop.is_set() else None)
        link.report(in_flight.settle())

    async def _announce(
        self,
        link: Link,
        announcer: Announcer,
        in_flight: InFlight,
        mirror: Callable[[WalPiece], None],
        scribe: Scribe,
    ) -> None:
        while True:
            for piece in announcer.read(await link.read(), time.time_ns() // 1000):
                mirror(piece)
                tell_asides(piece.asides)
                await in_flight.add(self._send(piece) if piece.messages else None, piece.end_lsn)
                if piece.heartbeat is not None:
                    await in_flight.add_behind(partial(self._send_heartbeat, scribe, piece.heartbeat))
                await asyncio.sleep(0)  # a streamed transaction has many pieces, and the slot wants reports meanwhile
            if link.report_wanted:
                link.report(in_flight.settle())

    async def _send(self, piece: WalPiece) -> Offsets:
        urgent = [message for message in piece.messages if message[0] in self._urgent]
        patient = [message for message in piece.messages if message[0] not in self._urgent]
        sent = await asyncio.gather(self._producer.post(urgent), self._patient.post(patient))  # queued now, in order
        metrics.messages.inc(len(piece.messages))
        metrics.delay.observe(time.time() - piece.committed_at_us / 1e6)
        return sent[0] | sent[1]

    async def _send_heartbeat(self, scribe: Scribe, heartbeat: WalPlace, next_offsets: Offsets) -> Offsets:
        return await self._producer.post([scribe.announce_heartbeat(next_offsets, heartbeat)])

    async def _take_slot(self, link: Link, stop: asyncio.Event) -> tuple[Slot, str | None] | None:
        """Begin to read: the slot, and the epoch where a new one begins. Waits while another publisher has it; None at `stop`."""
        while not stop.is_set():
            try:
                epoch = None
                if (slot := await self._find_good(link)) is None:
                    slot, epoch = await self._announce_anew(link, stop)
                if slot is not None:
                    await link.start(slot, streaming=self._streaming)
                    return slot, epoch
            except SlotTaken:
                self._duty.take("waiting")
                await _run_until_first(stop.wait(), asyncio.sleep(TAKE_OVER_EVERY_S))
        return None

    async def _find_good(self, link: Link) -> Slot | None:
        """The slot, None where it is lost or of another history than what was announced. Raises SlotTaken."""
        slot = await link.find_slot()
        if not self._duty.note_slot(slot) or slot is None:
            return None
        if slot.taken:
            raise SlotTaken("another publisher reads the slot")
        records = await read_last(self._bootstrap, [*self._told, self._topics.schemas], self._security)
        sources = [source for record in records.values() if record and (source := read_source(record))]
        mine = name_epoch_at(link.identity, 0)[:-16]
        if not sources or any(source.epoch.startswith(mine) for source in sources):
            return slot
        log.error(
            "the database is another one, or was promoted or restored: what is announced is of %s", sources[0].epoch
        )
        return None

    async def _announce_anew(self, link: Link, stop: asyncio.Event) -> tuple[Slot | None, str | None]:
        """Make the slot, and announce all rows as they are then: the slot and the new epoch; None at `stop`."""
        async with link.take_snapshot() as snapshot:
            if (slot := await self._find_good(link)) is not None:
                return slot, None  # another publisher has made it meanwhile
            if (slot := await link.find_slot()) is not None:
                await link.drop_slot(slot)
            epoch = name_epoch_at(link.identity, snapshot.lsn)
            self._duty.take("snapshot", epoch)
            in_flight, index, scribe = InFlight(snapshot.lsn, {}), FIRST_INDEX, self._build_scribe(link, epoch)
            partitions = sorted(await self._read_ends(self._told))
            await in_flight.add(self._send_all([*list_marks(scribe, self._routes, partitions, snapshot.lsn)]), 0)
            for table in ANNOUNCED:
                described = False
                async for rows in snapshot.read(table):
                    if stop.is_set():
                        await in_flight.wait(ACKNOWLEDGED_WITHIN_S)
                        return None, None
                    messages = write_snapshot(scribe, rows, snapshot.lsn, index, described=described)
                    await in_flight.add(self._send_all(messages), 0)
                    described, index = True, index + len(rows)
                    metrics.snapshot_rows.set(index - FIRST_INDEX)
            await in_flight.wait()
            in_flight.settle()
            log.info("slot made at %X, epoch %s: %d rows announced", snapshot.lsn, epoch, index - FIRST_INDEX)
            kept = await snapshot.keep()
            self._duty.note_slot(kept)
            return kept, epoch

    async def _send_all(self, messages: Sequence[Message]) -> Offsets:
        return await self._producer.post(messages)

    async def _read_ends(self, topics: Sequence[str]) -> dict[Partition, int]:
        return await LogEnds(self._bootstrap, [*topics, self._topics.schemas], self._security).read()

    def _build_scribe(self, link: Link, epoch: str) -> Scribe:
        return Scribe(SourceWriter(epoch, link.database), self._routes, self._topics)


async def _report(link: Link, in_flight: InFlight) -> None:
    while True:
        await asyncio.sleep(REPORT_EVERY_S)
        link.report(in_flight.settle())


async def _watch(dsn: str, duty: Duty) -> None:
    """Tell how the slot stands, for as long as this process lives: reading, waiting, or while Kafka is away."""
    while True:
        with suppress(Retry):  # where PostgreSQL is away, the WAL reader notices for itself
            changes = duty.changes
            async with aclosing(watch_slot(dsn, WATCH_EVERY_S)) as slots:
                async for slot in slots:
                    if changes == duty.changes and duty.name != "snapshot":  # then it is being made
                        duty.note_slot(slot)
                    changes = duty.changes
        await asyncio.sleep(WATCH_EVERY_S)


async def _beat(dsn: str) -> None:
    while True:
        with suppress(Retry):
            await emit_heartbeats(dsn, HEARTBEAT_EVERY_S)
        await asyncio.sleep(REPORT_EVERY_S)


async def _run_until_first(*jobs: Coroutine[Any, Any, object]) -> None:
    """Run all until one ends, cancel the others, raise the error that ended it."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        ended = [task for task in tasks if task.done()]
    finally:
        await _cancel(tasks)
    for task in ended:
        task.result()


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Until all have ended: Python 3.11's wait_for, which drivers use, may swallow a cancellation."""
    while waiting := [task for task in tasks if not task.done()]:
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting, timeout=CANCEL_EVERY_S)


def read_source(record: Record) -> _Source | None:
    """Where an announcement comes from; None, with a warning, for what is no announcement."""
    try:
        return json.decode(record.value or b"", type=_Announced).source
    except DecodeError as error:
        log.warning("%s/%d at %d is no announcement: %s", record.topic, record.partition, record.offset, error)
        return None


def name_epoch_at(identity: Identity, lsn: int) -> str:
    """The epoch that begins at `lsn`: within one server and timeline a later one sorts higher."""
    return f"{identity.system_id}-{identity.timeline:08x}-{lsn:016x}"


def choose_epoch(identity: Identity, slot: Slot, last: Mapping[Partition, _Source | None]) -> str:
    """The epoch under which this server's timeline was announced last; where it never was, one that begins here."""
    mine = name_epoch_at(identity, 0)[:-16]
    epochs = {source.epoch for source in last.values() if source is not None}
    return max((name for name in epochs if name.startswith(mine)), default=name_epoch_at(identity, slot.confirmed_lsn))


def find_done(last: Mapping[Partition, _Source | None], epoch: str) -> Done:
    """What of `epoch` has been produced already, by the last message of every partition."""
    newest = {
        place: (source.commit_lsn, source.index)
        for place, source in last.items()
        if source is not None and source.epoch == epoch
    }
    partitions: dict[str, int] = {}
    for topic, _ in last:
        partitions[topic] = partitions.get(topic, 0) + 1
    return Done(newest, partitions)
