"""The door for the story of an event: what was sent under a name. It opens to the installation's key."""

from datetime import timedelta
from pathlib import Path

from starlette.routing import Route

from fillip.analyse.own_doors.erasures_http import ReadPositions
from fillip.analyse.own_doors.loaded_door import LoadedDoor, LoadedQuery
from fillip.analyse.query.queries import Queries
from fillip.core.instant import MIN_TIME
from fillip.http.event_query import PATH, EventQuery

_SQL = Path(__file__).with_name("event.sql").read_text(encoding="utf-8")


def event_route(queries: Queries, read_positions: ReadPositions, topic: str, key: str) -> Route:
    """POST /internal/event: a line of JSON or none, once all that is asked about is loaded from `topic`."""
    door = LoadedDoor(
        queries=queries, read_positions=read_positions, topic=topic, key=key, kind=EventQuery, sql=_SQL, read=_read
    )
    return Route(PATH, door, methods=["POST"])


def _read(asked: EventQuery) -> LoadedQuery:
    since_us = (asked.since - MIN_TIME) // timedelta(microseconds=1)
    return LoadedQuery(asked.tenant_id, asked.ends, {"source": asked.source, "id": asked.id, "since_us": since_us})
