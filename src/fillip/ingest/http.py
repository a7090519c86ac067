"""The HTTP door: POST /v1/events, answered when the broker has every event of the request.

With `wait` it is answered when they are decided too, or the time is over: then it tells what they came to.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Protocol, TypeAlias

import msgspec
from msgspec import UNSET, Struct, json
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from fillip.core.book.book import Book, Unbuilt
from fillip.core.envelope import MAX_EVENT_BYTES, check_size, open_envelope
from fillip.core.errors import Retry, Unreadable
from fillip.core.event import Event, Place, fingerprint
from fillip.core.ports import CampaignBook, KeyRing, Rates
from fillip.core.problem import Fault
from fillip.core.quota import describe_room
from fillip.http.address import find_parameter_faults, read_parameters
from fillip.http.bearer import authenticate, check_scope, read_bearer
from fillip.http.body import JsonRequest, explain_malformed
from fillip.http.errors import Conflict, Forbidden, HttpRefused, Invalid, TooFast, TooLarge, UnsupportedMedia
from fillip.http.problems import answer_refused, answer_retry, find_trace_id
from fillip.ingest.answer.answer import EventAnswer, EventsAnswer
from fillip.ingest.answer.receipt import Receipt, point_at
from fillip.ingest.answer.wait import Waits
from fillip.ingest.decode import clean_detail, read_event
from fillip.ingest.openapi import EVENTS_OPENAPI
from fillip.ingest.refused import DoorRefusals
from fillip.ingest.seen_events import SeenEvents
from fillip.stream.belt import StreamError

__all__ = ["EVENTS_OPENAPI", "EventEntry", "events_route"]

MAX_EVENTS = 1_000
MAX_FAULTS = 20
MAX_WAIT_MS = 2_000
SCOPE = "events:write"
MEDIA_TYPES = frozenset({"application/json", "application/cloudevents+json", "application/cloudevents-batch+json"})

Message: TypeAlias = tuple[str, bytes | str | None, bytes | str | None]
"""Topic, key and value."""

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


class Producer(Protocol):
    """Puts messages into the log."""

    async def send_many(self, messages: Sequence[Message]) -> None:
        """Return when all (topic, key, value) are in the log. Raises StreamError."""

    async def send_placed(self, messages: Sequence[Message]) -> list[tuple[int, int]]:
        """The same; partition and offset of each."""


class _TakenEvent(Struct, frozen=True):
    """An event that may pass, with the bytes that go into the log."""

    event: Event
    value: bytes


def events_route(
    keys: KeyRing,
    rates: Rates,
    book: CampaignBook,
    producer: Producer,
    topic: str,
    *,
    waits: Waits,
    refusals: DoorRefusals,
) -> Route:
    """POST /v1/events: one CloudEvent or an array of at most 1,000; 202 once the broker has them all, else nothing.

    With `wait` (ms) 200 and what came of each, once the ledger has all; 202 with what is known when the time is over.
    Answers 400, 401, 403, 409, 413, 415, 422, 429 and 503 as problems (RFC 9457) that name each faulty event.
    """
    door = _EventsDoor(keys, rates, book, producer, topic, waits=waits, refusals=refusals)
    return Route("/v1/events", door, methods=["POST"])


class EventEntry:
    """EventLog: events of the control plane's own making."""

    def __init__(self, book: CampaignBook, producer: Producer, topic: str) -> None:
        self._book = book
        self._producer = producer
        self._topic = topic
        self._recent = SeenEvents()

    async def put(self, tenant_id: str, event: bytes) -> None:
        """See EventLog."""
        taken = _read_one(event, tenant_id, await _pin_book(self._book, tenant_id), datetime.now(UTC))
        key, says = _digest_event(taken.event)
        if self._recent.find(key) not in (None, says):
            raise Unreadable("conflicting_duplicate", _CONFLICT, at="/id")
        try:
            await self._producer.send_many([(self._topic, f"{tenant_id}:{taken.event.user_id}", taken.value)])
        except StreamError as away:
            raise Retry(f"{away}. Send the same request again later.") from away
        self._recent.keep({key: says})


class _EventsDoor:
    def __init__(
        self,
        keys: KeyRing,
        rates: Rates,
        book: CampaignBook,
        producer: Producer,
        topic: str,
        *,
        waits: Waits,
        refusals: DoorRefusals,
    ) -> None:
        self._refusals = refusals
        self._keys = keys
        self._rates = rates
        self._book = book
        self._producer = producer
        self._topic = topic
        self._waits = waits
        self._recent = SeenEvents()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        request = JsonRequest(scope, receive)
        try:
            status, body = await self._accept(request)
        except ClientDisconnect:
            return
        except HttpRefused as refused:
            answer = answer_refused(request, refused)
        except (Retry, StreamError) as away:
            answer = answer_retry(request, Retry(f"{away}. Send the same request again later."))
        else:
            traced = {"Trace-Id": find_trace_id(request), **request.state.room}
            answer = Response(body, status, traced, "application/json")
        await answer(scope, receive, send)

    async def _accept(self, request: JsonRequest) -> tuple[int, bytes]:
        caller = await authenticate(self._keys, read_bearer(request.headers))
        check_scope(caller, SCOPE)
        wait_ms = _read_wait(request.scope["query_string"])
        values, single = await _read_values(request)
        per_s, count = caller.quotas.events_per_s, max(1, len(values))
        taking = await self._rates.take(caller.tenant_id, "events_per_s", per_s, count)
        if taking.wait_s:  # the tenant's quota has no room for all of the request
            raise TooFast("events_per_s", per_s, count, taking)
        request.state.room = describe_room("events_per_s", per_s, taking)
        tenant_id = caller.tenant_id
        books = await _pin_book(self._book, tenant_id)
        try:
            taken = await _read_all(values, tenant_id, books, single=single)
            said = self._find_conflicts(taken, single=single)
        except HttpRefused as refused:
            self._refusals.note(tenant_id, values, refused, single=single)
            raise
        messages = [(self._topic, f"{tenant_id}:{each.event.user_id}", each.value) for each in taken]
        if wait_ms:
            return await self._decide(taken, messages, said, wait_ms)
        await self._producer.send_many(messages)
        self._recent.keep(said)
        return 202, b'{"accepted":%d}' % len(taken)

    async def _decide(
        self, taken: Sequence[_TakenEvent], messages: Sequence[Message], said: dict[int, int], wait_ms: int
    ) -> tuple[int, bytes]:
        """Send, and tell what the ledger makes of it within `wait_ms` from when the log has it: 200 where all is told."""
        with self._waits.begin(taken[0].event.tenant_id, len(taken)) if taken else nullcontext() as wait:
            spots = await self._producer.send_placed(messages)
            self._recent.keep(said)
            answers: Mapping[int, EventAnswer] = {}
            if wait is not None:
                events = [each.event for each in taken]
                places = [Place(self._topic, *spot) for spot in spots]
                receipts = [_receive(index, *each) for index, each in enumerate(zip(events, places, strict=True))]
                answers = await self._waits.finish(wait, receipts, wait_ms / 1000)
        told = [answers.get(index) or _put_off(each.event) for index, each in enumerate(taken)]
        status = 202 if any(each.state == "pending" for each in told) else 200
        return status, json.encode(EventsAnswer(len(taken), told))

    def _find_conflicts(self, taken: Sequence[_TakenEvent], *, single: bool) -> dict[int, int]:
        said: dict[int, int] = {}
        faults = []
        for index, each in enumerate(taken):
            key, says = _digest_event(each.event)
            known = self._recent.find(key)
            if says != said.setdefault(key, says if known is None else known):
                faults.append(Fault(_point_at_event(index, "/id", single=single), _CONFLICT))
        if faults:
            message = "this event id was already used for different content"
            raise ConflictingDuplicate(message, faults=faults[:MAX_FAULTS])
        return said


def _read_wait(query: bytes) -> int:
    """How long the request wants to wait, in ms; 0 where it does not. Raises Invalid."""
    if not query:
        return 0
    given = read_parameters(query)
    faults = find_parameter_faults([name for name, _ in given], {"wait"})
    wrong = [value for _, value in given if not _WAIT.fullmatch(value) or int(value) > MAX_WAIT_MS]
    if wrong and not faults:
        faults = [
            Fault("wait", f"a whole number of milliseconds from 1 to {MAX_WAIT_MS}: send ?wait=200, or leave it out")
        ]
    if faults:
        raise Invalid("the request does not fit: see errors", faults=faults)
    return int(given[0][1])


def _receive(index: int, event: Event, place: Place) -> Receipt:
    return Receipt(event.tenant_id, event.key, event.event_id, event.source, event.user_id, place, index)


def _put_off(event: Event) -> EventAnswer:
    """What is told of an event as long as nothing is known of it."""
    return EventAnswer(event.event_id, event.source, "pending", see=point_at(event.event_id, event.source))


def _digest_event(event: Event) -> tuple[int, int]:
    """Hashes of its name and of what it says."""
    return hash((event.tenant_id, event.source, event.event_id)), hash(fingerprint(event))


async def _pin_book(book: CampaignBook, tenant_id: str) -> dict[str, Book]:
    """The tenant's book, where there is such a tenant. Raises Retry where it can't be built."""
    found = (await book.pin({tenant_id})).get(tenant_id)
    if isinstance(found, Unbuilt):
        raise Retry("the tenant's definitions can't be read: the operator has been told")
    return {tenant_id: found} if found else {}


async def _read_values(request: JsonRequest) -> tuple[list[bytes], bool]:
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


async def _read_all(
    values: Sequence[bytes], tenant_id: str, books: Mapping[str, Book], *, single: bool
) -> list[_TakenEvent]:
    """Every event, or InvalidEvents that names those that are none: nothing is taken by halves.

    Others have their turn whenever as much is read as one event may have: its validation is bounded to some ms.
    """
    now = datetime.now(UTC)
    taken, faults, unbroken_bytes = [], [], 0
    for index, value in enumerate(values):
        unbroken_bytes += len(value)
        if unbroken_bytes > MAX_EVENT_BYTES:
            await asyncio.sleep(0)
            unbroken_bytes = len(value)
        try:
            taken.append(_read_one(value, tenant_id, books, now))
        except Unreadable as error:
            detail = clean_detail(f"{error.reason}: {error}")
            faults.append(Fault(_point_at_event(index, error.at or "", single=single), detail))
    if faults:
        text = f"{len(faults)} of {len(values)} events cannot be taken, so none was"
        raise InvalidEvents(text, faults=faults[:MAX_FAULTS])
    return taken


def _read_one(value: bytes, tenant_id: str, books: Mapping[str, Book], now: datetime) -> _TakenEvent:
    envelope = open_envelope(value)
    if envelope.tenantid is UNSET:
        value = json.encode({"tenantid": tenant_id})[:-1] + b"," + value[1:]
        check_size(value)  # what enters the log must pass the topic door too
        envelope = msgspec.structs.replace(envelope, tenantid=tenant_id)
    elif envelope.tenantid != tenant_id:
        raise Forbidden("tenantid is not the tenant of the key; leave it out")
    return _TakenEvent(read_event(envelope, books, Place("", 0, 0), now, now, value), value)


def _point_at_event(index: int, at: str, *, single: bool) -> str:
    return at if single else f"/{index}{at}"
