"""The topic door: a stage of the belt."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TypeAlias

from msgspec import Struct

from fillip.core.book import Book
from fillip.core.errors import Unreadable
from fillip.core.event import Event, Place, Rejection
from fillip.core.ports import CampaignBook
from fillip.ingest.decode import Envelope, clean_detail, open_envelope, peek_claim, read_event
from fillip.stream.belt import Record, take_portions

MAX_KEPT_BYTES = 1024 * 1024  # of a rejected message

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Unopened(Struct, frozen=True):
    """A message without a sound envelope, with what it claims."""

    error: Unreadable
    tenantid: str | None
    id: str | None


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
            opened += [(record, _open(record.value)) for record in portion]
        books = await self._book.pin({o.tenantid for _, o in opened if isinstance(o.tenantid, str)})
        out: list[Event | Rejection] = []
        async for some in take_portions(opened):
            out += [_read(record, envelope, books, taken_at) for record, envelope in some]
        return out


def _read(
    record: Record, envelope: Envelope | _Unopened, books: Mapping[str, Book], taken_at: datetime
) -> Event | Rejection:
    place = Place(record.topic, record.partition, record.offset)
    received_at = _tell_instant(record.appended_at_ms)
    original = record.value or b""
    try:
        if isinstance(envelope, _Unopened):
            raise envelope.error
        return read_event(envelope, books, place, received_at, taken_at, original)
    except Unreadable as error:
        tenant_id = envelope.tenantid if isinstance(envelope.tenantid, str) else None
        known = tenant_id if tenant_id in books else None
        detail = clean_detail(f"{error.at}: {error}" if error.at else str(error))
        kept = original[:MAX_KEPT_BYTES]
        return Rejection(place, error.reason, detail, kept, received_at, known, envelope.id)


@lru_cache(maxsize=64)  # records of one millisecond come together
def _tell_instant(unix_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=unix_ms)


def _open(value: bytes | None) -> Envelope | _Unopened:
    try:
        return open_envelope(value)
    except Unreadable as error:
        return _Unopened(error, *peek_claim(value))
