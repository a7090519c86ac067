"""What the API asks analyse for: an event by its name, once all that the log held is loaded."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

PATH = "/internal/event"


class EventQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The event of this name that a tenant has sent and that was received since; `ends` are the offsets, by partition, up to which
    events must be loaded before. The answer is a ReceivedEvent, or nothing.
    """

    tenant_id: Annotated[str, Meta(min_length=1, max_length=63)]
    source: Annotated[str, Meta(min_length=1, max_length=1024)]
    id: Annotated[str, Meta(min_length=1, max_length=256)]
    since: Annotated[datetime, Meta(tz=True)]
    ends: Mapping[int, Annotated[int, Meta(ge=0)]]
