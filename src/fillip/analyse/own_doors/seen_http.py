"""The door for live hours: how many events a campaign has seen. It opens to the installation's key."""

from datetime import timedelta
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from fillip.analyse.own_doors.erasures_http import ReadPositions
from fillip.analyse.own_doors.own_door import read_question, send_answer
from fillip.analyse.own_doors.received_http import wait_until_loaded
from fillip.analyse.query.queries import Queries
from fillip.analyse.query.task import LIVE
from fillip.core.instant import MIN_TIME
from fillip.http.seen_query import PATH, SeenQuery

_SQL = Path(__file__).with_name("seen.sql").read_text(encoding="utf-8")


def seen_route(queries: Queries, read_positions: ReadPositions, topic: str, key: str) -> Route:
    """POST /internal/seen: a line of JSON for each hour, once all that is asked about is loaded from `topic`."""
    return Route(PATH, SeenDoor(queries, read_positions, topic, key), methods=["POST"])


class SeenDoor:
    """ASGI, since an answer's file stays only until it is sent."""

    def __init__(self, queries: Queries, read_positions: ReadPositions, topic: str, key: str) -> None:
        self._queries = queries
        self._read_positions = read_positions
        self._topic, self._key = topic, key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises HttpRefused, Refused, and Retry where events are not loaded so far."""
        request = Request(scope, receive)
        asked = await read_question(request, self._key, SeenQuery)
        await wait_until_loaded(self._read_positions, self._topic, asked.list_ends())
        spans = msgspec.json.encode(asked.spans).decode()
        given = {"spans": spans, "since_us": (asked.since - MIN_TIME) // timedelta(microseconds=1)}
        async with self._queries.answer(asked.tenant_id, _SQL, "history", LIVE, parameters=given) as answer:
            await send_answer(request, answer, "application/jsonl", send)
