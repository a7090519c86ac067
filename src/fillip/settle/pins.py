"""Under which version of a tenant's book a partition was decided, from which offset on. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

from msgspec import Struct

from fillip.core.match.candidate import Match
from fillip.stream.belt import Batch, Span


class Pin(Struct, frozen=True, order=True):
    """From `from_offset` of a partition on, a tenant's events were decided under this version of its book."""

    tenant_id: str
    topic: str
    partition: int
    from_offset: int
    book_version: int
    generation: int = 0


class Pins:
    """What this process has stored of each partition, for as long as nobody else has settled of it."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, int], _Held] = {}

    def list_new(self, batch: Batch, matches: Iterable[Match]) -> list[Pin]:
        """Where this batch switches a partition to another version of a tenant's book.

        A partition that was another's meanwhile does not begin where we left it: what we stored of it stands no more.
        """
        spans = {(span.topic, span.partition): span for span in batch.spans}
        stored = {place: self._recall(span) for place, span in spans.items()}
        pins = {}
        for match in matches:
            at, tenant_id, version = match.event.place, match.event.tenant_id, match.event.book.version
            place = at.topic, at.partition
            if stored[place].get(tenant_id) != version:
                span = spans[place]
                pins[place, tenant_id] = Pin(tenant_id, *place, span.start, version, span.generation)
        return sorted(pins.values())

    def keep(self, batch: Batch, pins: Iterable[Pin]) -> None:
        """Remember, once the batch is committed, what was stored with it."""
        for span in batch.spans:
            self._held[span.topic, span.partition] = _Held(span.end, span.generation, self._recall(span))
        for pin in pins:
            self._held[pin.topic, pin.partition].versions[pin.tenant_id] = pin.book_version

    def _recall(self, span: Span) -> dict[str, int]:
        held = self._held.get((span.topic, span.partition))
        return held.versions if held and (held.end, held.generation) == (span.start, span.generation) else {}


class _Held(NamedTuple):
    end: int
    generation: int
    versions: dict[str, int]
