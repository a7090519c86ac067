"""Requests of events: what they ask for, and which of their events can be taken."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache

import msgspec
from msgspec import UNSET, Struct, json

from fillip.core.book.book import Book
from fillip.core.envelope import MAX_EVENT_BYTES, check_size, open_envelope
from fillip.core.errors import Refused, Unreadable
from fillip.core.event import Event, Place, check_own, check_sender, fingerprint
from fillip.core.problem import Fault
from fillip.http.address import find_parameter_faults, read_parameters
from fillip.http.body import JsonRequest, explain_malformed
from fillip.http.errors import Conflict, Forbidden, Invalid, TooLarge, UnsupportedMedia
from fillip.ingest.answer.answer import RefusedEvent
from fillip.ingest.decode import clean_detail, read_event
from fillip.ingest.seen_events import SeenEvents

MAX_EVENTS = 1_000
MAX_FAULTS = 20
MAX_WAIT_MS = 2_000
MEDIA_TYPES = frozenset({"application/json", "application/cloudevents+json", "application/cloudevents-batch+json"})

_WAIT = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)
_CONFLICT = "an event of this id and source said something else"
_items = json.Decoder(list[msgspec.Raw])
_item = json.Decoder(msgspec.Raw)


class ConflictingDuplicate(Conflict):
    """409: events whose source and id stand for something else already."""

    kind = "conflicting-duplicate"


class InvalidEvents(Invalid):
    """422: events that can't be taken, each with its place."""

    kind = "invalid-events"


class EventsQuery(Struct, frozen=True):
    """How long the request waits for what its events come to (0: not at all), and whether the good is taken without the bad."""

    wait_ms: int = 0
    goes_on: bool = False


class TakenEvent(Struct, frozen=True):
    """An event that may pass, with the bytes that go into the log."""

    event: Event
    value: bytes


class AcceptedEvents(Struct, frozen=True):
    """The events of a request that are taken, the digest of what each name `said`, and those that are not."""

    events: Sequence[TakenEvent]
    said: Mapping[int, int]
    refused: Sequence[RefusedEvent] = ()


@lru_cache(maxsize=64)  # clients send a few: of each, 64 KB at most
def read_query(query: bytes) -> EventsQuery:
    """The parameters of a request. Raises Invalid."""
    if not query:
        return EventsQuery()
    given = read_parameters(query)
    faults = find_parameter_faults([name for name, _ in given], {"wait", "on_error"})
    values = dict(given)
    wait, on_error = values.get("wait"), values.get("on_error")
    if wait is not None and (not _WAIT.fullmatch(wait) or int(wait) > MAX_WAIT_MS):
        cure = f"a whole number of milliseconds from 1 to {MAX_WAIT_MS}: send ?wait=200, or leave it out"
        faults.append(Fault("wait", cure))
    if on_error not in (None, "continue"):
        faults.append(Fault("on_error", "continue, or left out: all or none"))
    if faults:
        raise Invalid("the request does not fit: see errors", faults=faults)
    return EventsQuery(int(wait or 0), on_error is not None)


async def read_values(request: JsonRequest) -> tuple[list[bytes], bool]:
    """The JSON text of each event, and whether the body is a single one; raises HttpRefused."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in MEDIA_TYPES:
        raise UnsupportedMedia(f"send Content-Type: {', '.join(sorted(MEDIA_TYPES))}")
    body = await request.body()
    try:
        single = body.lstrip()[:1] != b"["
        values = [bytes(_item.decode(body))] if single else [bytes(raw) for raw in _items.decode(body)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise explain_malformed(body, error) from None
    if len(values) > MAX_EVENTS:
        raise TooLarge(f"{len(values)} events, at most {MAX_EVENTS} are taken in one request")
    return values, single


async def take_all(
    values: Sequence[bytes], tenant_id: str, books: Mapping[str, Book], recent: SeenEvents, *, single: bool
) -> AcceptedEvents:
    """Every event, or InvalidEvents or ConflictingDuplicate that names those that can't be: nothing is taken by halves."""
    now = datetime.now(UTC)
    taken, faults = [], []
    async for index, value in _take_turns(values):
        try:
            taken.append(read_one(value, tenant_id, books, now, check_sender))
        except Unreadable as error:
            detail = clean_detail(f"{error.reason}: {error}")
            faults.append(Fault(_point_at_event(index, error.at or "", single=single), detail))
    if faults:
        text = f"{len(faults)} of {len(values)} events cannot be taken, so none was"
        raise InvalidEvents(text, faults=faults[:MAX_FAULTS])
    return AcceptedEvents(taken, _find_conflicts(taken, recent, single=single))


async def take_good(
    values: Sequence[bytes], tenant_id: str, books: Mapping[str, Book], recent: SeenEvents
) -> AcceptedEvents:
    """The events that can be taken, and the others with what is wrong. Of two that differ under one name, the first is taken."""
    now = datetime.now(UTC)
    taken, said, refused = [], dict[int, int](), []
    async for index, value in _take_turns(values):
        try:
            read = read_one(value, tenant_id, books, now, check_sender)
            key, says = digest_event(read.event)
            if said.get(key, recent.find(key)) not in (None, says):
                raise conflicting()
        except Unreadable as error:
            refused.append(_refuse(index, error, error.reason))
        except Forbidden as error:
            refused.append(_refuse(index, error, "unknown_tenant"))
        else:
            said[key] = says
            taken.append(read)
    return AcceptedEvents(taken, said, refused)


def tell_refused(refused: Sequence[RefusedEvent]) -> InvalidEvents:
    """What would have been answered to a request of these events alone, whose places are then by their number here."""
    faults = [
        Fault(f"/{number}{fault.at}", fault.message) for number, each in enumerate(refused) for fault in each.errors
    ]
    return InvalidEvents(f"{len(refused)} events cannot be taken; the others of the request were", faults=faults)


def read_one(
    value: bytes,
    tenant_id: str,
    books: Mapping[str, Book],
    now: datetime,
    check: Callable[[str, str], None] = check_own,
) -> TakenEvent:
    """An event by its JSON text; `check` is told its action and source. Raises Unreadable, or Forbidden where it is another tenant's."""
    envelope = open_envelope(value)
    check(envelope.type, envelope.source)
    if envelope.tenantid is UNSET:
        value = json.encode({"tenantid": tenant_id})[:-1] + b"," + value[1:]
        check_size(value)  # what enters the log must pass the topic door too
        envelope = msgspec.structs.replace(envelope, tenantid=tenant_id)
    elif envelope.tenantid != tenant_id:
        raise Forbidden("tenantid is not the tenant of the key; leave it out")
    return TakenEvent(read_event(envelope, books, Place("", 0, 0), now, now, value), value)


def digest_event(event: Event) -> tuple[int, int]:
    """Hashes of its name and of what it says."""
    return hash((event.tenant_id, event.source, event.event_id)), hash(fingerprint(event))


def conflicting() -> Unreadable:
    """The fault of an event whose name stands for something else already."""
    return Unreadable("conflicting_duplicate", _CONFLICT, at="/id")


def _find_conflicts(taken: Sequence[TakenEvent], recent: SeenEvents, *, single: bool) -> dict[int, int]:
    said: dict[int, int] = {}
    faults = []
    for index, each in enumerate(taken):
        key, says = digest_event(each.event)
        known = recent.find(key)
        if says != said.setdefault(key, says if known is None else known):
            faults.append(Fault(_point_at_event(index, "/id", single=single), _CONFLICT))
    if faults:
        message = "this event id was already used for different content"
        raise ConflictingDuplicate(message, faults=faults[:MAX_FAULTS])
    return said


async def _take_turns(values: Sequence[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    """The texts of events by index. Others have their turn whenever as much is read as one may have: its validation is bounded to some ms."""
    unbroken_bytes = 0
    for index, value in enumerate(values):
        unbroken_bytes += len(value)
        if unbroken_bytes > MAX_EVENT_BYTES:
            await asyncio.sleep(0)
            unbroken_bytes = len(value)
        yield index, value


def _refuse(index: int, error: Refused, reason: str) -> RefusedEvent:
    return RefusedEvent(index, [Fault(error.at or "", clean_detail(f"{reason}: {error}"))])


def _point_at_event(index: int, at: str, *, single: bool) -> str:
    return at if single else f"/{index}{at}"
