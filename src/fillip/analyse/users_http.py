"""The door for Fillip's own processes: which users a tenant's query selects, for a cohort. It opens to the installation's key."""

import asyncio
from hmac import compare_digest
from typing import TypeVar

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from fillip.analyse.queries import Queries
from fillip.analyse.query_http import write_headers
from fillip.http.bearer import read_bearer
from fillip.http.body import JsonRequest
from fillip.http.errors import Invalid, Unauthorized
from fillip.http.users_query import PATH, UsersQuery

Body = TypeVar("Body", bound=Struct)
SENT_WITHIN_S = 300.0
"""Who reads more slowly is cut off: the answer keeps the tenant's next query waiting."""


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
        require_key(request, self._key)
        asked = await read_body(request, UsersQuery)
        if asked.want == "check":
            await self._queries.check_users(asked.tenant_id, asked.sql)
            await Response(status_code=204)(scope, receive, send)
        elif asked.want == "preview":
            preview = await self._queries.preview_users(asked.tenant_id, asked.sql)
            await Response(msgspec.json.encode(preview), media_type="application/json")(scope, receive, send)
        else:
            async with self._queries.select_users(asked.tenant_id, asked.sql) as answer:
                response = FileResponse(answer.file, headers=write_headers(request, answer), media_type="text/csv")
                async with asyncio.timeout(SENT_WITHIN_S):
                    await response(scope, receive, send)


def require_key(request: Request, key: str) -> None:
    """Raise Unauthorized unless the request comes with the installation's key."""
    if not compare_digest(read_bearer(request.headers).encode(), key.encode()):
        raise Unauthorized("this door is for Fillip's own processes: the key is not FILLIP_ANALYSE_KEY")


async def read_body(request: Request, kind: type[Body]) -> Body:
    """What is asked for. Raises HttpRefused."""
    taken = JsonRequest(request.scope, request.receive)
    if not await taken.body():
        raise Invalid("send a query", at="")
    await taken.read_json()
    try:
        return msgspec.convert(await taken.json(), kind)
    except msgspec.ValidationError as error:
        raise Invalid(str(error), at="") from None
