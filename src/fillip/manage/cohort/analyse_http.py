"""core.ports.UserQueries over HTTP: the rows lie with analyse, which opens to the installation's own key."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Literal

import httpx
import msgspec

from fillip.core.ports import Freshness, SelectedUsers, UserPreview
from fillip.http.errors import Invalid
from fillip.http.users_query import PATH, UsersQuery
from fillip.manage.analyse_http import stream_answer


class QueryRefused(Invalid):
    """422: the text is not one SELECT of users over the tenant's views, or takes more than it may."""

    kind = "invalid-query"


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
        question = UsersQuery(tenant_id, sql, want)
        async with stream_answer(self._client, PATH, question, refusal=QueryRefused) as response:
            yield response


def _read_instant(headers: Mapping[str, str], name: str) -> datetime | None:
    told = headers.get(f"fillip-{name}-at")
    return datetime.fromisoformat(told) if told else None
