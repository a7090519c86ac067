"""An event as a request put it into the log, and where the API tells of it."""

from urllib.parse import quote, urlencode
from uuid import UUID

from msgspec import Struct

from fillip.core.event import Place
from fillip.core.naming import DOTS


class Receipt(Struct, frozen=True, eq=False):
    """An event of a request, as it was put into the log once. `index` is its place in the request."""

    tenant_id: str
    event_key: UUID
    event_id: str
    event_source: str
    user_id: str
    place: Place
    index: int


def point_at_story(event_id: str, source: str) -> str:
    """Where is told what became of an event, whatever that is. Clients take a source of dots out of a path: then its decisions."""
    if source in DOTS:
        return point_at(event_id, source)
    return f"/v1/events/{quote(source, safe='')}/{quote(event_id, safe='')}"


def point_at(event_id: str, source: str) -> str:
    """Where the decisions of an event are told."""
    return f"/v1/decisions?{urlencode({'event_id': event_id, 'event_source': source})}"
