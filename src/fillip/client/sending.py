"""Sends events from a file or a pipe: batch by batch, each event that is refused told with its line."""

import re
import time
from collections.abc import Callable, Iterator
from itertools import chain
from typing import BinaryIO

import msgspec
from msgspec import Struct, json

from fillip.client.api import ApiClient, CallRefused
from fillip.core.errors import Crash
from fillip.core.problem import Fault

MAX_EVENTS, MAX_BYTES = 1_000, 1_000_000
"""Of one request: what the API takes."""
MAX_DOCUMENT_BYTES = 64 * 2**20
"""Of events that stand in one JSON document instead of line by line: it is read whole."""
MAX_WAIT_S = 300
"""How long one batch is tried again while the API says that it can't take it now."""
_OF_EVENTS = (400, 413)
"""Statuses that tell of the events themselves, and not which; others tell of the key, the API or the way to it."""
_BATCH = {"Content-Type": "application/cloudevents-batch+json"}

_raw = json.Decoder(msgspec.Raw)
_raws = json.Decoder(list[msgspec.Raw])


class SourceEvent(Struct, frozen=True):
    """An event as its file has it, and its line there; in a JSON array its position, both counted from 1."""

    line: int
    text: bytes


class RefusedEvent(Struct, frozen=True):
    """An event that was not taken, and why."""

    line: int
    errors: tuple[Fault, ...]


class SentEvents(Struct):
    """How many events of a file are in the log, how many were refused, and the last line of those that were sent."""

    accepted: int = 0
    refused: int = 0
    line: int = 0


class _RefusedIndex(Struct, frozen=True):
    """What the API says of an event that it has not taken."""

    index: int
    errors: tuple[Fault, ...]


class _Answer(Struct, frozen=True):
    """What the API says of a batch."""

    accepted: int
    refused: tuple[_RefusedIndex, ...]


def read_events(source: BinaryIO) -> Iterator[SourceEvent]:
    """The events of NDJSON, or of one JSON document: an event or an array of them. Empty lines count and hold none.

    Raises Crash for a document over 64 MiB or an array that is not JSON.
    """
    first = source.readline(MAX_DOCUMENT_BYTES)
    if _starts_document(first):
        text = first + source.read(MAX_DOCUMENT_BYTES)
        if len(text) > MAX_DOCUMENT_BYTES:
            raise Crash(f"a JSON document over {MAX_DOCUMENT_BYTES >> 20} MiB: write one event a line instead")
        try:
            events = _raws.decode(text) if text.lstrip().startswith(b"[") else [_raw.decode(text)]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Crash(f"neither one event a line nor a JSON document: {error}") from None
        yield from (SourceEvent(number, bytes(event)) for number, event in enumerate(events, 1))
        return
    rest = iter(lambda: source.readline(MAX_DOCUMENT_BYTES), b"")
    for number, line in enumerate(chain([first], rest), 1):
        if text := line.strip():
            yield SourceEvent(number, text)


def send_events(
    client: ApiClient, events: Iterator[SourceEvent], tell_refused: Callable[[RefusedEvent], None]
) -> Iterator[SentEvents]:
    """Send all events, in their order: how far that is, at first and after each batch.

    An event that is no JSON, or that the API refuses, is told and left out; a batch that can't be taken now is sent again
    when the API says so. Raises CallFailed where that does not help.
    """
    sent = SentEvents()

    def refuse(refused: RefusedEvent) -> None:
        sent.refused += 1
        tell_refused(refused)

    yield sent
    for batch in _gather(events, refuse):
        _send_batch(client, batch, sent, refuse)
        sent.line = batch[-1].line
        yield sent
    yield sent


def _starts_document(line: bytes) -> bool:
    """Whether a file that begins so is one JSON document: an array, or an event on several lines."""
    begin = line.lstrip()
    return begin.startswith(b"[") or (begin.startswith(b"{") and _find_fault(begin) is not None)


def _gather(events: Iterator[SourceEvent], refuse: Callable[[RefusedEvent], None]) -> Iterator[list[SourceEvent]]:
    """Batches that one request may hold, of the events that are JSON."""
    batch: list[SourceEvent] = []
    size = 0
    for event in events:
        if fault := _find_fault(event.text):
            refuse(RefusedEvent(event.line, (fault,)))
            continue
        if batch and (len(batch) == MAX_EVENTS or size + len(event.text) > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += len(event.text) + 1
    if batch:
        yield batch


def _find_fault(text: bytes) -> Fault | None:
    """Why a text would break the batch it stands in."""
    if len(text) > MAX_BYTES:
        return Fault("", f"{len(text):,} bytes: no event is as large")
    try:
        text.decode()
        _raw.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Fault("", f"not JSON: {error}")
    return None


def _send_batch(
    client: ApiClient, batch: list[SourceEvent], sent: SentEvents, refuse: Callable[[RefusedEvent], None]
) -> None:
    """Send those of a batch that can be taken, and tell the others."""
    try:
        answer = _post(client, batch)
    except CallRefused as refused:
        if refused.status not in _OF_EVENTS and not _is_too_many(refused, len(batch)):
            raise
        if len(batch) == 1:
            refuse(RefusedEvent(batch[0].line, (Fault("", str(refused)),)))
        else:  # something in it, and nobody says what; or it is too many
            _send_batch(client, batch[: len(batch) // 2], sent, refuse)
            _send_batch(client, batch[len(batch) // 2 :], sent, refuse)
    else:
        sent.accepted += answer.accepted
        for each in answer.refused:
            refuse(RefusedEvent(batch[each.index].line, each.errors))


def _post(client: ApiClient, batch: list[SourceEvent]) -> _Answer:
    """Send a batch, again for as long as the API asks for patience; raises CallFailed."""
    body = b"[" + b",".join(event.text for event in batch) + b"]"
    until = time.monotonic() + MAX_WAIT_S
    while True:
        try:
            return msgspec.convert(client.post("/v1/events?on_error=continue", body, _BATCH), _Answer)
        except CallRefused as refused:
            after = refused.headers.get("Retry-After", "")
            wait_s = int(after) if after.isdecimal() else 1
            too_many = _is_too_many(refused, len(batch))
            if refused.status not in (429, 503) or too_many or time.monotonic() + wait_s > until:
                raise
            time.sleep(wait_s)


def _is_too_many(refused: CallRefused, count: int) -> bool:
    """Whether the tenant's rate never has room for so many events at once, however long one waits."""
    room = re.search(r";q=(\d+)", refused.headers.get("RateLimit-Policy", ""))
    return refused.status == 429 and count > 1 and room is not None and count > int(room[1])
