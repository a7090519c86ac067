"""The door for live hours: how many events a campaign has seen. It opens to the installation's key."""

from datetime import timedelta
from pathlib import Path

import msgspec
from starlette.routing import Route

from fillip.analyse.own_doors.erasures_http import ReadPositions
from fillip.analyse.own_doors.loaded_door import LoadedDoor, LoadedQuery
from fillip.analyse.query.queries import Queries
from fillip.core.instant import MIN_TIME
from fillip.http.seen_query import PATH, SeenQuery

_SQL = Path(__file__).with_name("seen.sql").read_text(encoding="utf-8")


def seen_route(queries: Queries, read_positions: ReadPositions, topic: str, key: str) -> Route:
    """POST /internal/seen: a line of JSON for each hour, once all that is asked about is loaded from `topic`."""
    door = LoadedDoor(
        queries=queries, read_positions=read_positions, topic=topic, key=key, kind=SeenQuery, sql=_SQL, read=_read
    )
    return Route(PATH, door, methods=["POST"])


def _read(asked: SeenQuery) -> LoadedQuery:
    spans = msgspec.json.encode(asked.spans).decode()
    since_us = (asked.since - MIN_TIME) // timedelta(microseconds=1)
    return LoadedQuery(asked.tenant_id, asked.list_ends(), {"spans": spans, "since_us": since_us})
