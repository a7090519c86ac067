"""The door for backtests: a tenant's past events and reversals, in the order of their receipt. It opens to the installation's key."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from fillip.analyse.own_doors.own_door import read_question, send_answer
from fillip.analyse.query.queries import Queries
from fillip.core.backtest.past import Mark
from fillip.core.instant import MIN_TIME
from fillip.http.history_query import PATH, HistoryQuery

_MICROSECOND = timedelta(microseconds=1)
_START = Mark(MIN_TIME, -1, -1)
SQL = {
    name: Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8")
    for name in ("history", "history_count", "history_reversals")
}


def history_route(queries: Queries, key: str) -> Route:
    """POST /internal/history: events, their number, or reversals of them, as lines of JSON."""
    return Route(PATH, HistoryDoor(queries, key), methods=["POST"])


class HistoryDoor:
    """ASGI, since an answer's file stays only until it is sent."""

    def __init__(self, queries: Queries, key: str) -> None:
        self._queries = queries
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises HttpRefused, Refused and Retry."""
        request = Request(scope, receive)
        asked = await read_question(request, self._key, HistoryQuery)
        name, given = _choose(asked)
        async with self._queries.read_history(asked.tenant_id, SQL[name], given) as answer:
            await send_answer(request, answer, "application/jsonl", send)


def _choose(asked: HistoryQuery) -> tuple[str, dict[str, Any]]:
    given: dict[str, Any] = {
        "actions": list(asked.actions),
        "first_us": _tell_us(asked.first),
        "until_us": _tell_us(asked.until),
    }
    if asked.want == "count":
        return "history_count", given
    behind = asked.behind or _START
    mark = {"received_us": _tell_us(behind.received_at), "partition": behind.partition, "log_offset": behind.log_offset}
    page = given | mark | {"limit": asked.limit}
    if asked.want == "reversals":
        return "history_reversals", page
    return "history", page | {"campaign_id": asked.campaign_id}


def _tell_us(instant: datetime) -> int:
    return (instant - MIN_TIME) // _MICROSECOND
