"""core.ports.UserQueries over HTTP: the rows lie with analyse, which opens to the installation's own key."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Literal

import httpx
import msgspec

from fillip.core.errors import Retry
from fillip.core.ports import Freshness, SelectedUsers, UserPreview
from fillip.http.errors import Invalid
from fillip.http.users_query import PATH, UsersQuery

CONNECT_WITHIN_S, ANSWER_WITHIN_S = 3.0, 340.0
"""A query waits at most 20 s and runs at most 300."""
AWAY_TOLD = "analyse does not answer: try again in a moment"


class QueryRefused(Invalid):
    """422: the text is not one SELECT of users over the tenant's views, or takes more than it may."""

    kind = "invalid-query"


class _Fault(msgspec.Struct):
    at: str = ""


class _Problem(msgspec.Struct):
    detail: str = ""
    errors: list[_Fault] = []


class AnalyseUserQueries:
    """See fillip.core.ports.UserQueries. `client` has analyse's base URL and the key as bearer; it stays the caller's."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def check(self, tenant_id: str, sql: str) -> None:
        """Raise HttpRefused for what is no SELECT of users; Retry."""
        async with self._ask(tenant_id, sql, "check"):
            pass

    async def preview(self, tenant_id: str, sql: str) -> UserPreview:
        """How many users it selects, and some of them."""
        async with self._ask(tenant_id, sql, "preview") as response:
            return msgspec.json.decode(await response.aread(), type=UserPreview)

    @asynccontextmanager
    async def select(self, tenant_id: str, sql: str) -> AsyncIterator[SelectedUsers]:
        """All users that it selects, as CSV."""
        async with self._ask(tenant_id, sql, "all") as response:
            read = Freshness(_read_instant(response.headers, "received"), _read_instant(response.headers, "committed"))
            yield SelectedUsers(response.aiter_bytes(), read)

    @asynccontextmanager
    async def _ask(
        self, tenant_id: str, sql: str, want: Literal["check", "preview", "all"]
    ) -> AsyncIterator[httpx.Response]:
        body, headers = msgspec.json.encode(UsersQuery(tenant_id, sql, want)), {"Content-Type": "application/json"}
        try:
            async with self._client.stream("POST", PATH, content=body, headers=headers) as response:
                if response.is_error:
                    raise _explain(response.status_code, await response.aread())
                yield response
        except (httpx.TransportError, msgspec.MsgspecError) as error:
            raise Retry(f"{AWAY_TOLD} ({type(error).__name__})") from error


def open_client(url: str, key: str) -> httpx.AsyncClient:
    """A client of analyse at `url`; to be closed."""
    patience = httpx.Timeout(ANSWER_WITHIN_S, connect=CONNECT_WITHIN_S, pool=CONNECT_WITHIN_S)
    return httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=patience)


def _explain(status: int, content: bytes) -> Exception:
    try:
        problem = msgspec.json.decode(content, type=_Problem)
    except msgspec.MsgspecError:
        problem = _Problem()
    if status == 422:
        return QueryRefused(problem.detail, at=problem.errors[0].at if problem.errors else None)
    return Retry(f"analyse answered {status}: {problem.detail or 'without a reason'}")


def _read_instant(headers: Mapping[str, str], name: str) -> datetime | None:
    told = headers.get(f"fillip-{name}-at")
    return datetime.fromisoformat(told) if told else None
