"""The HTTP door: POST /v1/events, answered when the broker has every event of the request.

With `wait` it is answered when they are decided too, or the time is over: then it tells what they came to.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Protocol, TypeAlias

from msgspec import UNSET, json
from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from fillip.core.book.book import Book, Unbuilt
from fillip.core.errors import Retry
from fillip.core.event import Event, Place
from fillip.core.ports import CampaignBook, KeyRing, Rates
from fillip.core.quota import describe_room
from fillip.http.bearer import authenticate, check_scope, read_bearer
from fillip.http.body import JsonRequest
from fillip.http.errors import HttpRefused, TooFast
from fillip.http.problems import answer_refused, answer_retry, find_trace_id
from fillip.ingest.answer.answer import EventAnswer, EventsAnswer
from fillip.ingest.answer.receipt import Receipt, point_at_story
from fillip.ingest.answer.wait import Waits
from fillip.ingest.openapi import EVENTS_OPENAPI
from fillip.ingest.refused import DoorRefusals
from fillip.ingest.request import (
    AcceptedEvents,
    TakenEvent,
    conflicting,
    digest_event,
    read_one,
    read_query,
    read_values,
    take_all,
    take_good,
    tell_refused,
)
from fillip.ingest.seen_events import SeenEvents
from fillip.stream.belt import StreamError

__all__ = ["EVENTS_OPENAPI", "EventEntry", "EventsDoor"]

SCOPE = "events:write"

Message: TypeAlias = tuple[str, bytes | str | None, bytes | str | None]
"""Topic, key and value."""


class Producer(Protocol):
    """Puts messages into the log."""

    async def send_many(self, messages: Sequence[Message]) -> None:
        """Return when all (topic, key, value) are in the log. Raises StreamError."""

    async def send_placed(self, messages: Sequence[Message]) -> list[tuple[int, int]]:
        """The same; partition and offset of each."""


class EventEntry:
    """EventLog: events of the control plane's own making."""

    def __init__(self, book: CampaignBook, producer: Producer, topic: str, waits: Waits) -> None:
        self._book = book
        self._producer = producer
        self._topic = topic
        self._waits = waits
        self._recent = SeenEvents()

    async def put(self, tenant_id: str, event: bytes) -> None:
        """See EventLog."""
        await self._send(await self._take(tenant_id, event))

    async def decide(self, tenant_id: str, event: bytes, within_s: float) -> bool:
        """See EventLog."""
        taken = await self._take(tenant_id, event)
        with self._waits.begin(tenant_id, 1) as wait:
            place = await self._send(taken)
            told = await self._waits.finish(wait, [_receive(0, taken.event, place)], within_s) if wait else {}
        return 0 in told and told[0].state != "pending"

    async def _take(self, tenant_id: str, event: bytes) -> TakenEvent:
        taken = read_one(event, tenant_id, await _pin_book(self._book, tenant_id), datetime.now(UTC))
        key, says = digest_event(taken.event)
        if self._recent.find(key) not in (None, says):
            raise conflicting()
        return taken

    async def _send(self, taken: TakenEvent) -> Place:
        key, says = digest_event(taken.event)
        try:
            [spot] = await self._producer.send_placed([_write(self._topic, taken)])
        except StreamError as away:
            raise Retry(f"{away}. Send the same request again later.") from away
        self._recent.keep({key: says})
        return Place(self._topic, *spot)


class EventsDoor:
    """POST /v1/events: one CloudEvent or an array of at most 1,000; 202 once the broker has them all, else nothing.

    With `wait` (ms) 200 and what came of each, once the ledger has all; 202 with what is known when the time is over.
    With `on_error=continue` the good ones are taken, and the others told by index.
    Answers 400, 401, 403, 409, 413, 415, 422, 429 and 503 as problems (RFC 9457) that name each faulty event.
    """

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
        self._keys = keys
        self._rates = rates
        self._book = book
        self._producer = producer
        self._topic = topic
        self._waits = waits
        self._refusals = refusals
        self._recent = SeenEvents()

    @property
    def route(self) -> Route:
        """Where it stands."""
        return Route("/v1/events", self, methods=["POST"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        request = JsonRequest(scope, receive)
        try:
            status, body, room = await self._accept(request)
        except ClientDisconnect:
            return
        except HttpRefused as refused:
            answer = answer_refused(request, refused)
        except (Retry, StreamError) as away:
            answer = answer_retry(request, Retry(f"{away}. Send the same request again later."))
        else:
            headers = {"Trace-Id": find_trace_id(request), **room}
            await _send(send, status, body, headers)
            return
        await answer(scope, receive, send)

    async def _accept(self, request: JsonRequest) -> tuple[int, bytes, Mapping[str, str]]:
        """Status and body of the answer, and how much room the tenant's quota has."""
        caller = await authenticate(self._keys, read_bearer(request.headers))
        check_scope(caller, SCOPE)
        query = read_query(request.scope["query_string"])
        values, single = await read_values(request)
        per_s, count = caller.quotas.events_per_s, max(1, len(values))
        taking = await self._rates.take(caller.tenant_id, "events_per_s", per_s, count)
        if taking.wait_s:  # the tenant's quota has no room for all of the request
            raise TooFast("events_per_s", per_s, count, taking)
        room = describe_room("events_per_s", per_s, taking)
        books = await _pin_book(self._book, caller.tenant_id)
        if query.goes_on:
            taken = await take_good(values, caller.tenant_id, books, self._recent)
            if taken.refused:
                bad = [values[each.index] for each in taken.refused]
                self._refusals.note(caller.tenant_id, bad, tell_refused(taken.refused), single=False)
        else:
            try:
                taken = await take_all(values, caller.tenant_id, books, self._recent, single=single)
            except HttpRefused as refused:
                self._refusals.note(caller.tenant_id, values, refused, single=single)
                raise
        count, refused_events = len(taken.events), taken.refused if query.goes_on else UNSET
        if query.wait_ms:
            told = await self._decide(caller.tenant_id, taken, query.wait_ms)
            status = 202 if any(each.state == "pending" for each in told) else 200
            return status, json.encode(EventsAnswer(count, told, refused_events)), room
        await self._producer.send_many(self._write(taken))
        self._recent.keep(taken.said)
        if query.goes_on:
            return 202, json.encode(EventsAnswer(count, refused=refused_events)), room
        return 202, b'{"accepted":%d}' % count, room

    async def _decide(self, tenant_id: str, taken: AcceptedEvents, wait_ms: int) -> Sequence[EventAnswer]:
        """Send, and tell what the ledger makes of it within `wait_ms` from when the log has it; all in the order of the request."""
        with self._waits.begin(tenant_id, len(taken.events)) if taken.events else nullcontext() as wait:
            spots = await self._producer.send_placed(self._write(taken))
            self._recent.keep(taken.said)
            answers: Mapping[int, EventAnswer] = {}
            if wait is not None:
                events = [each.event for each in taken.events]
                places = [Place(self._topic, *spot) for spot in spots]
                receipts = [_receive(index, *each) for index, each in enumerate(zip(events, places, strict=True))]
                answers = await self._waits.finish(wait, receipts, wait_ms / 1000)
        return [answers.get(index) or _put_off(each.event) for index, each in enumerate(taken.events)]

    def _write(self, taken: AcceptedEvents) -> list[Message]:
        return [_write(self._topic, each) for each in taken.events]


async def _send(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    """What a Response does, in a third of its time: this door answers more often than all others."""
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    raw += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


async def _pin_book(book: CampaignBook, tenant_id: str) -> dict[str, Book]:
    """The tenant's book, where there is such a tenant. Raises Retry where it can't be built."""
    found = (await book.pin({tenant_id})).get(tenant_id)
    if isinstance(found, Unbuilt):
        raise Retry("the tenant's definitions can't be read: the operator has been told")
    return {tenant_id: found} if found else {}


def _write(topic: str, taken: TakenEvent) -> Message:
    return topic, f"{taken.event.tenant_id}:{taken.event.user_id}", taken.value


def _receive(index: int, event: Event, place: Place) -> Receipt:
    return Receipt(event.tenant_id, event.key, event.event_id, event.source, event.user_id, place, index)


def _put_off(event: Event) -> EventAnswer:
    """What is told of an event as long as nothing is known of it."""
    return EventAnswer(event.event_id, event.source, "pending", see=point_at_story(event.event_id, event.source))
