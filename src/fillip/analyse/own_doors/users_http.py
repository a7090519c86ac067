"""The door for Fillip's own processes: which users a tenant's query selects, for a cohort. It opens to the installation's key."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from fillip.analyse.own_doors.own_door import read_question, send_answer
from fillip.analyse.query.queries import Queries
from fillip.http.users_query import PATH, UsersQuery


def users_route(queries: Queries, key: str) -> Route:
    """POST /internal/users: 204, a preview as JSON, or all users as CSV."""
    return Route(PATH, UsersDoor(queries, key), methods=["POST"])


class UsersDoor:
    """ASGI, since an answer's file stays only until it is sent."""

    def __init__(self, queries: Queries, key: str) -> None:
        self._queries = queries
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises HttpRefused, Refused and Retry."""
        request = Request(scope, receive)
        asked = await read_question(request, self._key, UsersQuery)
        if asked.want == "check":
            await self._queries.check_users(asked.tenant_id, asked.sql)
            await Response(status_code=204)(scope, receive, send)
        elif asked.want == "preview":
            preview = await self._queries.preview_users(asked.tenant_id, asked.sql)
            await Response(msgspec.json.encode(preview), media_type="application/json")(scope, receive, send)
        else:
            async with self._queries.select_users(asked.tenant_id, asked.sql) as answer:
                await send_answer(request, answer, "text/csv", send)
