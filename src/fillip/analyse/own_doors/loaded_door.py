"""A door that answers by one query over the history of a tenant, once all that is asked about is loaded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic

from msgspec import Struct
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from fillip.analyse.own_doors.erasures_http import ReadPositions
from fillip.analyse.own_doors.own_door import Question, read_question, send_answer
from fillip.analyse.own_doors.received_http import wait_until_loaded
from fillip.analyse.query.queries import Queries
from fillip.analyse.query.task import LIVE


class LoadedQuery(Struct, frozen=True):
    """Of which tenant, up to which offsets events have to be loaded, and what the query is given."""

    tenant_id: str
    ends: Mapping[int, int]
    parameters: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class LoadedDoor(Generic[Question]):
    """ASGI, since an answer's file stays only until it is sent. `read` says what a question of `kind` wants of the query `sql`."""

    queries: Queries
    read_positions: ReadPositions
    topic: str
    key: str
    kind: type[Question]
    sql: str
    read: Callable[[Question], LoadedQuery]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises HttpRefused, Refused, and Retry where events are not loaded so far."""
        request = Request(scope, receive)
        wanted = self.read(await read_question(request, self.key, self.kind))
        await wait_until_loaded(self.read_positions, self.topic, wanted.ends)
        given = wanted.parameters
        async with self.queries.answer(wanted.tenant_id, self.sql, "history", LIVE, parameters=given) as answer:
            await send_answer(request, answer, "application/jsonl", send)
