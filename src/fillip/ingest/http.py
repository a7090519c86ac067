"""The HTTP door: POST /v1/events, answered when the broker has every event of the request."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec
from msgspec import UNSET, Struct, json
from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from fillip.core.book.book import Book, Unbuilt
from fillip.core.errors import Retry, Unreadable
from fillip.core.event import Event, Place, fingerprint
from fillip.core.json_text import explain_broken
from fillip.core.ports import Caller, CampaignBook, KeyRing, Rates
from fillip.core.problem import Fault
from fillip.core.quota import describe_rate, explain_rate
from fillip.http.address import AddressBroken, find_parameter_faults, list_parameters
from fillip.ingest.decode import MAX_EVENT_BYTES, check_size, clean_detail, open_envelope, read_event
from fillip.ingest.openapi import EVENTS_OPENAPI
from fillip.ingest.recent import Recent
from fillip.ingest.reply import Refusal, find_header, send_answer, send_refusal
from fillip.stream.belt import StreamError

__all__ = ["EVENTS_OPENAPI", "EventEntry", "events_route"]

MAX_BODY_BYTES = 1024 * 1024
MAX_EVENTS = 1_000
MAX_FAULTS = 20
SCOPE = "events:write"
MEDIA_TYPES = frozenset({"application/json", "application/cloudevents+json", "application/cloudevents-batch+json"})

_CONFLICT = "an event of this id and source said something else"
_items = json.Decoder(list[msgspec.Raw])
_item = json.Decoder(msgspec.Raw)


class Producer(Protocol):
    """Puts messages into the log."""

    async def send_many(self, messages: Sequence[tuple[str, bytes | str | None, bytes | str | None]]) -> None:
        """Return when all (topic, key, value) are in the log. Raises StreamError."""
        ...


class _Taken(Struct, frozen=True):
    """An event that may pass, with the bytes that go into the log."""

    event: Event
    value: bytes


def events_route(keys: KeyRing, rates: Rates, book: CampaignBook, producer: Producer, topic: str) -> Route:
    """POST /v1/events: one CloudEvent or an array of at most 1,000; 202 once the broker has them all, else nothing.

    Answers 400, 401, 403, 409, 413, 415, 422, 429 and 503 as problems (RFC 9457) that name each faulty event.
    """
    return Route("/v1/events", _Door(keys, rates, book, producer, topic), methods=["POST"])


class EventEntry:
    """EventLog: events of the control plane's own making."""

    def __init__(self, book: CampaignBook, producer: Producer, topic: str) -> None:
        self._book = book
        self._producer = producer
        self._topic = topic
        self._recent = Recent()

    async def put(self, tenant_id: str, event: bytes) -> None:
        """See EventLog."""
        taken = _read_one(event, tenant_id, await _pin(self._book, tenant_id), datetime.now(UTC))
        key, says = _digest(taken.event)
        if self._recent.find(key) not in (None, says):
            raise Unreadable("conflicting_duplicate", _CONFLICT, at="/id")
        try:
            await self._producer.send_many([(self._topic, f"{tenant_id}:{taken.event.user_id}", taken.value)])
        except StreamError as away:
            raise Retry(f"{away}. Send the same request again later.") from away
        self._recent.keep({key: says})


class _Door:
    def __init__(self, keys: KeyRing, rates: Rates, book: CampaignBook, producer: Producer, topic: str) -> None:
        self._keys = keys
        self._rates = rates
        self._book = book
        self._producer = producer
        self._topic = topic
        self._recent = Recent()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        try:
            accepted = await self._accept(scope, receive)
        except ClientDisconnect:
            return
        except Refusal as refusal:
            await send_refusal(scope, send, refusal)
        except (Retry, StreamError) as away:
            await send_refusal(scope, send, Refusal(503, "unavailable", f"{away}. Send the same request again later."))
        else:
            await send_answer(scope, send, 202, b'{"accepted":%d}' % accepted, "application/json")

    async def _accept(self, scope: Scope, receive: Receive) -> int:
        caller = await self._authorize(scope)
        tenant_id = caller.tenant_id
        _refuse_parameters(scope)
        values, single = await _read_values(scope, receive)
        await self._take(caller, max(1, len(values)))
        books = await _pin(self._book, tenant_id)
        taken = await _read_all(values, tenant_id, books, single=single)
        said = self._find_conflicts(taken, single=single)
        messages = [(self._topic, f"{tenant_id}:{each.event.user_id}", each.value) for each in taken]
        await self._producer.send_many(messages)
        self._recent.keep(said)
        return len(taken)

    async def _authorize(self, scope: Scope) -> Caller:
        scheme, _, key = find_header(scope, b"authorization").partition(" ")
        caller = await self._keys.authenticate(key.strip()) if scheme.lower() == "bearer" else None
        if caller is None:
            raise Refusal(401, "unauthorized", "send a live API key: Authorization: Bearer fk_…")
        if SCOPE not in caller.scopes:
            raise Refusal(403, "forbidden", f"the key lacks the scope {SCOPE}")
        return caller

    async def _take(self, caller: Caller, count: int) -> None:
        """Raise Refusal where the tenant's quota has no room for all of the request."""
        per_s = caller.quotas.events_per_s
        taking = await self._rates.take(caller.tenant_id, "events_per_s", per_s, count)
        if taking.wait_s:
            headers = describe_rate("events_per_s", per_s, taking)
            raise Refusal(429, "quota-exceeded", explain_rate("events_per_s", per_s, count), headers=headers)

    def _find_conflicts(self, taken: Sequence[_Taken], *, single: bool) -> dict[int, int]:
        said: dict[int, int] = {}
        faults = []
        for index, each in enumerate(taken):
            key, says = _digest(each.event)
            known = self._recent.find(key)
            if says != said.setdefault(key, says if known is None else known):
                faults.append(Fault(_point(index, "/id", single=single), _CONFLICT))
        if faults:
            raise Refusal(
                409,
                "conflicting-duplicate",
                "source and id together stand for one event for ever",
                tuple(faults[:MAX_FAULTS]),
            )
        return said


def _digest(event: Event) -> tuple[int, int]:
    """Hashes of its name and of what it says."""
    return hash((event.tenant_id, event.source, event.event_id)), hash(fingerprint(event))


async def _pin(book: CampaignBook, tenant_id: str) -> dict[str, Book]:
    """The tenant's book, where there is such a tenant. Raises Retry where it can't be built."""
    found = (await book.pin({tenant_id})).get(tenant_id)
    if isinstance(found, Unbuilt):
        raise Retry("the tenant's definitions can't be read: the operator has been told")
    return {tenant_id: found} if found else {}


def _refuse_parameters(scope: Scope) -> None:
    try:
        faults = find_parameter_faults(list_parameters(scope["query_string"]), ())
    except AddressBroken as error:
        raise Refusal(400, "malformed", str(error)) from None
    if faults:
        raise Refusal(422, "invalid", "the request does not fit: see errors", tuple(faults[:MAX_FAULTS]))


async def _read_values(scope: Scope, receive: Receive) -> tuple[list[bytes], bool]:
    """The JSON text of each event, and whether the body is a single one. Raises Refusal."""
    media_type = find_header(scope, b"content-type").partition(";")[0].strip().lower()
    if media_type not in MEDIA_TYPES:
        raise Refusal(415, "unsupported-media-type", f"send Content-Type: {', '.join(sorted(MEDIA_TYPES))}")
    body = await _read_body(scope, receive)
    try:
        single = body.lstrip()[:1] != b"["
        values = [bytes(_item.decode(body))] if single else [bytes(raw) for raw in _items.decode(body)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        fault = explain_broken(body, error)
        raise Refusal(400, "malformed", f"the body is not JSON: {fault.message}", (fault,)) from None
    if len(values) > MAX_EVENTS:
        raise Refusal(413, "too-large", f"{len(values)} events, at most {MAX_EVENTS} are taken in one request")
    return values, single


async def _read_body(scope: Scope, receive: Receive) -> bytes:
    told = find_header(scope, b"content-length")
    chunks, size, more = [], int(told) if told.isdecimal() else 0, True
    if size <= MAX_BODY_BYTES:
        size = 0
        while more and size <= MAX_BODY_BYTES:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            more = message.get("more_body", False)
    if size > MAX_BODY_BYTES:
        raise Refusal(413, "too-large", f"the body is larger than {MAX_BODY_BYTES} bytes")
    return b"".join(chunks)


async def _read_all(
    values: Sequence[bytes], tenant_id: str, books: Mapping[str, Book], *, single: bool
) -> list[_Taken]:
    """Every event, or a Refusal that names those that are none: nothing is taken by halves.

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
            faults.append(Fault(_point(index, error.at or "", single=single), detail))
    if faults:
        text = f"{len(faults)} of {len(values)} events cannot be taken, so none was"
        raise Refusal(422, "invalid-events", text, tuple(faults[:MAX_FAULTS]))
    return taken


def _read_one(value: bytes, tenant_id: str, books: Mapping[str, Book], now: datetime) -> _Taken:
    envelope = open_envelope(value)
    if envelope.tenantid is UNSET:
        value = json.encode({"tenantid": tenant_id})[:-1] + b"," + value[1:]
        check_size(value)  # what enters the log must pass the topic door too
        envelope = msgspec.structs.replace(envelope, tenantid=tenant_id)
    elif envelope.tenantid != tenant_id:
        raise Refusal(403, "forbidden", "tenantid is not the tenant of the key; leave it out")
    return _Taken(read_event(envelope, books, Place("", 0, 0), now, now, value), value)


def _point(index: int, at: str, *, single: bool) -> str:
    return at if single else f"/{index}{at}"
