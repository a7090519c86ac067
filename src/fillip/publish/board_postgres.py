"""Leaderboards and scores, as the ledger has them now."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
from msgspec import Struct
from psycopg.errors import QueryCanceled

from fillip.core.errors import Retry
from fillip.core.leaderboard import MOST_SCORE, BoardWindow, Leaderboard
from fillip.publish.live import Visibility, read_visibility
from fillip.publish.postgres import SESSION, connect

STATEMENT_S = 5
"""No statement takes longer: a tenant whose users have so much is set aside for a while, see ValkeyBoards."""

_SESSION = SESSION | {
    # each user by the index, however many the planner believes there are
    "options": f"{SESSION['options']} -c enable_hashjoin=off -c enable_mergejoin=off -c enable_seqscan=off"
    f" -c statement_timeout={STATEMENT_S}s"
}


def _load_sql(name: str) -> LiteralString:
    text: Any = Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8")
    return text  # type: ignore[no-any-return]  # written by us, as good as a literal


_LIST_BOARDS, _LIST_USERS = _load_sql("list_leaderboards"), _load_sql("list_granted_users")
_FIND_OWNERS, _READ_SCORES = _load_sql("read_owners"), _load_sql("read_scores")


class TooSlow(Exception):
    """A statement about one tenant took too long."""


class Score(Struct, frozen=True):
    """What a user has in a window, and the instant of the newest grant of which anything is left."""

    user_id: str
    score: int
    reached_at: datetime


class PostgresScores:
    """Opens the ledger."""

    def __init__(self, dsn: str) -> None:
        """`dsn` is of role fillip_publish."""
        self._dsn = dsn

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Scores"]:
        """The ledger, each statement as it is then. Raises Retry."""
        async with AsyncExitStack() as stack:
            with _retryable():
                connection = await stack.enter_async_context(connect(self._dsn, _SESSION))
            yield Scores(connection)


class Scores:
    """Asks one statement after the other. All raise Retry where PostgreSQL is away, and TooSlow."""

    def __init__(self, connection: "psycopg.AsyncConnection[Any]") -> None:
        self._connection = connection

    async def see(self) -> Visibility:
        """Which transactions the statements from now on see."""
        ((text,),) = await self._fetch("SELECT pg_current_snapshot()::text", {})
        return read_visibility(text)

    async def list_boards(self, tenants: Collection[str] | None) -> dict[str, tuple[str, list[Leaderboard]]]:
        """Time zone and leaderboards of those of these tenants that have any; of all tenants where None."""
        given = None if tenants is None else list(tenants)
        found: dict[str, tuple[str, list[Leaderboard]]] = {}
        for tenant_id, time_zone, *parts in await self._fetch(_LIST_BOARDS, {"tenants": given}):
            found.setdefault(tenant_id, (time_zone, []))[1].append(Leaderboard(*parts))
        return found

    async def list_users(self, tenant_id: str, after: str, most: int) -> list[str]:
        """The next users who were granted anything, by id as PostgreSQL orders them."""
        asked = {"tenant": tenant_id, "after": after, "most": most}
        return [row[0] for row in await self._fetch(_LIST_USERS, asked)]

    async def find_owners(self, tenant_id: str, users: Collection[str]) -> list[str]:
        """Who these users are by now, each once."""
        asked = {"tenant": tenant_id, "users": list(users)}
        return [row[0] for row in await self._fetch(_FIND_OWNERS, asked)]

    async def read(
        self, tenant_id: str, board: Leaderboard, windows: Sequence[BoardWindow], owners: Collection[str]
    ) -> list[list[Score]]:
        """Of each window the scores of those of these users that have any, with what users had who were merged into them."""
        asked = {
            "tenant": tenant_id,
            "users": list(owners),
            "starts": [window.starts_at for window in windows],
            "ends": [window.ends_at for window in windows],
            "measure": board.measure,
            "currency": board.currency,
            "campaign": board.campaign_id,
            "most": MOST_SCORE,
        }
        scores: list[list[Score]] = [[] for _ in windows]
        for user_id, at, reached_at, score in await self._fetch(_READ_SCORES, asked):
            scores[at].append(Score(user_id, score, reached_at))
        return scores

    async def _fetch(self, statement: LiteralString, asked: Mapping[str, object]) -> list[tuple[Any, ...]]:
        with _retryable():
            rows = await (await self._connection.execute(statement, asked)).fetchall()
        return cast("list[tuple[Any, ...]]", rows)


@contextmanager
def _retryable() -> Iterator[None]:
    try:
        yield
    except QueryCanceled as error:
        raise TooSlow(f"a statement took more than {STATEMENT_S} s: {error}") from error
    except psycopg.OperationalError as error:
        raise Retry(f"PostgreSQL is away or busy: {error}") from error
