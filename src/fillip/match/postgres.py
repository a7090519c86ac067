"""Books and user attributes read from PostgreSQL, as role fillip_worker."""

import asyncio
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

import asyncpg
import msgspec
import structlog
from prometheus_client import Counter

from fillip.core.book import Action, Book, Entry, cast_roles, join_versions
from fillip.core.campaign import Campaign, Checked
from fillip.core.coerce import build_coercer
from fillip.core.errors import Retry
from fillip.core.limit import Limit
from fillip.core.named_list import Lists, NamedList
from fillip.core.schema import derive_type
from fillip.core.tenant import Tenant

Reader = Callable[[Mapping[str, object]], dict[str, object]]
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

TENANT_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
AWAY = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    TimeoutError,
)
NAMES = ("tenants", "actions", "campaigns", "definitions", "limits", "cohorts", "members", "lists", "items")
LOADED = Counter("fillip_match_books_total", "Books loaded from PostgreSQL")
log = structlog.get_logger()


def _sql(name: str) -> str:
    return Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8")


class PostgresBooks:
    """CampaignBook: loads a tenant's book at first sight and again whenever `refresh` is told of a newer version."""

    def __init__(self, pool: asyncpg.Pool, build_reader: Callable[[Mapping[str, object]], Reader]) -> None:
        """`build_reader` makes the validator and coercer of an action's JSON Schema."""
        self._pool = pool
        self._build_reader = build_reader
        self._books: dict[str, Book] = {}
        self._loading = asyncio.Lock()
        self._sql = {name: _sql(name) for name in NAMES}

    async def pin(self, tenant_ids: Collection[str]) -> Mapping[str, Book]:
        """See CampaignBook. A tenant id that could not exist is not asked for."""
        asked = {t for t in tenant_ids if TENANT_ID.fullmatch(t)}
        if asked - self._books.keys():
            async with self._loading:
                await self._load(asked - self._books.keys())
        return {t: book for t in asked if (book := self._books.get(t))}

    async def refresh(self, tenant_id: str, version: int) -> None:
        """Load the tenant's book again unless it is as new as `version`; does nothing for a tenant never asked for."""
        async with self._loading:  # a first load that began before the change must not be the last
            known = self._books.get(tenant_id)
            if known and known.version < version:
                await self._load({tenant_id})

    async def refresh_all(self) -> None:
        """Load every known book again: after a gap in the announcements."""
        async with self._loading:
            await self._load(set(self._books))

    async def _load(self, tenant_ids: Collection[str]) -> None:
        try:
            async with self._pool.acquire() as connection:
                for tenant_id in sorted(tenant_ids):
                    async with connection.transaction(isolation="repeatable_read", readonly=True):
                        build = await self._read_one(connection, tenant_id)
                    if build:  # aside: a thousand rules take 0.1 s, and other tenants' events go on
                        self._books[tenant_id] = book = await asyncio.to_thread(build)
                        LOADED.inc()
                        log.info("book loaded", tenant=tenant_id, version=book.version, campaigns=len(book.entries))
        except AWAY as error:
            raise Retry(f"the books can't be read, PostgreSQL is away: {error}") from error

    async def _read_one(self, connection: Connection, tenant_id: str) -> Callable[[], Book] | None:
        """Read a tenant's rows; what builds the book from them. None where there is no such tenant."""
        await connection.execute("SELECT set_config('app.tenants', $1, true)", tenant_id)
        row = await connection.fetchrow(self._sql["tenants"], tenant_id)
        if row is None:
            return None
        old = self._books.get(tenant_id)
        lists = await self._load_lists(connection, tenant_id, old)
        known, new = await self._read_campaigns(connection, tenant_id, old, lists)
        actions = await connection.fetch(self._sql["actions"], tenant_id)
        limits = [_read_limit(r) for r in await connection.fetch(self._sql["limits"], tenant_id)]
        cohorts = await self._load_cohorts(connection, tenant_id, old)

        def build() -> Book:
            read = _read_entries(new, lists)
            entries = {campaign_id: entry or read[campaign_id] for campaign_id, entry in known.items()}
            book = Book(
                tenant=Tenant(tenant_id, row["name"], row["time_zone"], row["currency"], row["clock"]),
                version=row["book_version"],
                actions=_read_actions(actions, old, self._build_reader),
                read_user=build_coercer(derive_type(msgspec.json.decode(row["user_schema"]))),
                entries=entries,
                by_action=cast_roles(entries.values(), old.by_action if old else {}),
                limits={limit.limit_id: limit for limit in limits},
                cohorts=cohorts,
                lists=lists,
            )
            _ = book.limits_by_version  # made at the first look otherwise, which is an event's
            return book

        return build

    async def _read_campaigns(
        self, connection: Connection, tenant_id: str, old: Book | None, lists: Lists
    ) -> tuple[dict[str, Entry | None], list[asyncpg.Record]]:
        """Campaigns in order, and rows for those without an entry: a known version keeps its compiled rules and index,
        unless a list that it reads has changed.
        """
        entries = old.entries if old else {}
        known: dict[str, Entry | None] = {}
        for campaign_id, version, state in await connection.fetch(self._sql["campaigns"], tenant_id):
            entry = entries.get(campaign_id)
            same = entry is not None and (entry.version, entry.state) == (version, state) and entry.fits(lists)
            known[campaign_id] = entry if same else None
        missing = [campaign_id for campaign_id, entry in known.items() if entry is None]
        return known, await connection.fetch(self._sql["definitions"], tenant_id, missing) if missing else []

    async def _load_lists(self, connection: Connection, tenant_id: str, old: Book | None) -> dict[str, NamedList]:
        lists = {}
        for list_id, version in await connection.fetch(self._sql["lists"], tenant_id):
            known = old.lists.get(list_id) if old else None
            if known is None or known.version != version:
                items = await connection.fetchval(self._sql["items"], tenant_id, list_id, version)
                known = NamedList(version, msgspec.json.decode(items))
            lists[list_id] = known
        return lists

    async def _load_cohorts(
        self, connection: Connection, tenant_id: str, old: Book | None
    ) -> dict[str, tuple[int, frozenset[str]]]:
        cohorts = {}
        for row in await connection.fetch(self._sql["cohorts"], tenant_id):
            known = old.cohorts.get(row["cohort_id"]) if old else None
            if known is None or known[0] != row["version"]:
                members = await connection.fetch(self._sql["members"], tenant_id, row["cohort_id"])
                known = (row["version"], frozenset(member["user_id"] for member in members))
            cohorts[row["cohort_id"]] = known
        return cohorts


class PostgresUsers:
    """UserAttributes."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        """`pool` connects as fillip_worker."""
        self._pool = pool
        self._sql = _sql("users")

    async def read(self, users: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], Mapping[str, object]]:
        """See UserAttributes."""
        tenants, ids = [user[0] for user in users], [user[1] for user in users]
        try:
            async with self._pool.acquire() as connection, connection.transaction(readonly=True):
                await connection.execute("SELECT set_config('app.tenants', $1, true)", ",".join(sorted(set(tenants))))
                rows = await connection.fetch(self._sql, tenants, ids)
        except AWAY as error:
            raise Retry(f"user attributes can't be read, PostgreSQL is away: {error}") from error
        return {(row["tenant_id"], row["user_id"]): msgspec.json.decode(row["attributes"]) for row in rows}


def _read_actions(
    rows: Iterable[asyncpg.Record], old: Book | None, build_reader: Callable[[Mapping[str, object]], Reader]
) -> dict[str, Action]:
    actions = {}
    for row in rows:
        schema = msgspec.json.decode(row["schema"])
        known = old.actions.get(row["name"]) if old else None
        same = known is not None and known.schema == schema
        actions[row["name"]] = known if known and same else Action(row["name"], schema, build_reader(schema))
    return actions


def _read_entries(rows: Iterable[asyncpg.Record], lists: Lists) -> dict[str, Entry]:
    versions: dict[str, list[Entry]] = {}
    for row in rows:
        versions.setdefault(row["campaign_id"], []).append(_read_entry(row, lists))
    return {campaign_id: join_versions(each) for campaign_id, each in versions.items()}


def _read_entry(row: asyncpg.Record, lists: Lists) -> Entry:
    campaign = msgspec.json.decode(row["definition"], type=Campaign)
    checked = msgspec.json.decode(row["checked"], type=dict[str, Checked])
    mine = {list_id: lists[list_id] for each in checked.values() for list_id in each.uses_lists}
    return Entry(row["campaign_id"], row["version"], row["state"], campaign, checked, mine)


def _read_limit(row: asyncpg.Record) -> Limit:
    return Limit(**dict(row))
