"""What the API asks analyse for: how many events a campaign has seen, by the hour of their receipt."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

PATH = "/internal/seen"
MOST_SPANS = 2_000
"""Of one query: a campaign that was changed very often has more."""

_Instant = Annotated[datetime, Meta(tz=True)]
_Offset = Annotated[int, Meta(ge=0)]


class SeenSpan(Struct, frozen=True, forbid_unknown_fields=True):
    """Events of one action in a part of the log (`end_offset` is behind it) that happened within a schedule, both ends included."""

    partition: int
    first_offset: _Offset
    end_offset: _Offset
    action: Annotated[str, Meta(min_length=1, max_length=256)]
    starts_at: _Instant | None = None
    ends_at: _Instant | None = None


class SeenQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """How many events of a tenant that were received since an instant stand in any of the spans."""

    tenant_id: Annotated[str, Meta(min_length=1, max_length=63)]
    since: _Instant
    spans: Annotated[Sequence[SeenSpan], Meta(max_length=MOST_SPANS)]

    def list_ends(self) -> Mapping[int, int]:
        """By partition, the offset up to which events must be loaded."""
        ends: dict[int, int] = {}
        for span in self.spans:
            ends[span.partition] = max(span.end_offset, ends.get(span.partition, 0))
        return ends


class SeenHour(Struct, frozen=True):
    """Events received in the hour (UTC) that starts at `hour`, each once."""

    hour: datetime
    events: int
