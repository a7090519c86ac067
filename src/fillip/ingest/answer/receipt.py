"""An event as a request put it into the log, and where the API tells of it."""

from urllib.parse import urlencode
from uuid import UUID

from msgspec import Struct

from fillip.core.event import Place


class Receipt(Struct, frozen=True, eq=False):
    """An event of a request, as it was put into the log once. `index` is its place in the request."""

    tenant_id: str
    event_key: UUID
    event_id: str
    event_source: str
    user_id: str
    place: Place
    index: int


def point_at(event_id: str, source: str) -> str:
    """Where the decisions of an event are told."""
    return f"/v1/decisions?{urlencode({'event_id': event_id, 'event_source': source})}"
