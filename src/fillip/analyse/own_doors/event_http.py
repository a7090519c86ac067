"""The door for the story of an event: what was sent under a name. It opens to the installation's key."""

from datetime import timedelta
from pathlib import Path

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from fillip.analyse.own_doors.erasures_http import ReadPositions
from fillip.analyse.own_doors.own_door import read_question, send_answer
from fillip.analyse.own_doors.received_http import wait_until_loaded
from fillip.analyse.query.queries import Queries
from fillip.analyse.query.task import LIVE
from fillip.core.instant import MIN_TIME
from fillip.http.event_query import PATH, EventQuery

_SQL = Path(__file__).with_name("event.sql").read_text(encoding="utf-8")


def event_route(queries: Queries, read_positions: ReadPositions, topic: str, key: str) -> Route:
    """POST /internal/event: a line of JSON or none, once all that is asked about is loaded from `topic`."""
    return Route(PATH, EventDoor(queries, read_positions, topic, key), methods=["POST"])


class EventDoor:
    """ASGI, since an answer's file stays only until it is sent."""

    def __init__(self, queries: Queries, read_positions: ReadPositions, topic: str, key: str) -> None:
        self._queries = queries
        self._read_positions = read_positions
        self._topic, self._key = topic, key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises HttpRefused, Refused, and Retry where events are not loaded so far."""
        request = Request(scope, receive)
        asked = await read_question(request, self._key, EventQuery)
        await wait_until_loaded(self._read_positions, self._topic, asked.ends)
        since_us = (asked.since - MIN_TIME) // timedelta(microseconds=1)
        given = {"source": asked.source, "id": asked.id, "since_us": since_us}
        async with self._queries.answer(asked.tenant_id, _SQL, "history", LIVE, parameters=given) as answer:
            await send_answer(request, answer, "application/jsonl", send)
