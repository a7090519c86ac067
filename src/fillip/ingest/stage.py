"""The topic door: a stage of the belt."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TypeAlias

from msgspec import Struct

from fillip.core.book.book import Book, Unbuilt
from fillip.core.envelope import Envelope, open_envelope
from fillip.core.errors import RejectReason, Unreadable
from fillip.core.event import Event, Place, Rejection
from fillip.core.instant import MAX_TIME, MIN_TIME
from fillip.core.ports import CampaignBook
from fillip.ingest.decode import clean_detail, peek_claim, read_event
from fillip.stream.belt import Record, take_portions

MAX_KEPT_BYTES = 1024 * 1024  # of a rejected message

_EPOCH = MIN_TIME
_LAST_MS = (MAX_TIME - MIN_TIME) // timedelta(milliseconds=1)


class _Unopened(Struct, frozen=True):
    """A message without a sound envelope, and why, with what it claims.

    No exception: one that is raised again holds itself by its traceback, and so megabytes until the next collection.
    """

    reason: RejectReason
    detail: str
    tenantid: str | None
    id: str | None
    source: str | None


_Opened: TypeAlias = tuple[Record, Envelope | _Unopened]


class Ingest:
    """Step 1: each record becomes an Event or a Rejection, whatever its bytes; the books are pinned once a batch."""

    def __init__(self, book: CampaignBook) -> None:
        self._book = book

    async def __call__(self, records: Sequence[Record]) -> list[Event | Rejection]:
        """One result a record, in order. Raises Retry when a book can't be read."""
        taken_at = datetime.now(UTC)
        opened: list[_Opened] = []
        async for portion in take_portions(records):
            opened += [(record, _open_record(record.value)) for record in portion]
        books = await self._book.pin({o.tenantid for _, o in opened if isinstance(o.tenantid, str)})
        out: list[Event | Rejection] = []
        async for some in take_portions(opened):
            out += [_read_record(record, envelope, books, taken_at) for record, envelope in some]
        return out


def _read_record(
    record: Record, envelope: Envelope | _Unopened, books: Mapping[str, Book | Unbuilt], taken_at: datetime
) -> Event | Rejection:
    if isinstance(envelope, _Unopened):
        return _reject(record, envelope.reason, envelope.detail, envelope, books)
    place = Place(record.topic, record.partition, record.offset)
    received_at = _tell_instant(record.appended_at_ms)
    try:
        return read_event(envelope, books, place, received_at, taken_at, record.value or b"")
    except Unreadable as error:
        return _reject(record, error.reason, _describe_unreadable(error), envelope, books)


def _reject(
    record: Record, reason: RejectReason, detail: str, claims: Envelope | _Unopened, books: Mapping[str, Book | Unbuilt]
) -> Rejection:
    place = Place(record.topic, record.partition, record.offset)
    known = claims.tenantid if isinstance(claims.tenantid, str) and claims.tenantid in books else None
    received_at, kept = _tell_instant(record.appended_at_ms), (record.value or b"")[:MAX_KEPT_BYTES]
    return Rejection(place, reason, detail, kept, received_at, known, claims.id, claims.source)


def _describe_unreadable(error: Unreadable) -> str:
    return clean_detail(f"{error.at}: {error}" if error.at else str(error))


def give_up(record: Record, error: Exception, tenant_id: str | None) -> Rejection:
    """What is left of a record that no stage could take: its bytes, whose it is as far as it is known, and the error."""
    said = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    place, (_, *named) = Place(record.topic, record.partition, record.offset), peek_claim(record.value)
    kept = (record.value or b"")[:MAX_KEPT_BYTES]
    received_at = _tell_instant(record.appended_at_ms)
    return Rejection(place, "undecidable", clean_detail(said), kept, received_at, tenant_id, *named)


@lru_cache(maxsize=64)  # records of one millisecond come together
def _tell_instant(unix_ms: int) -> datetime:
    """By the broker's clock; of a topic that producers put their own on, bounded as their events are."""
    return _EPOCH + timedelta(milliseconds=min(max(unix_ms, 0), _LAST_MS))


def _open_record(value: bytes | None) -> Envelope | _Unopened:
    try:
        return open_envelope(value)
    except Unreadable as error:
        return _Unopened(error.reason, _describe_unreadable(error), *peek_claim(value))
