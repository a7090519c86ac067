"""Books read from PostgreSQL, as role fillip_worker."""

import asyncio
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Literal, TypeAlias
from weakref import WeakValueDictionary

import asyncpg
import msgspec
import structlog
from prometheus_client import Counter

from fillip.core.book.book import Action, Book, Unbuilt, index_triggers
from fillip.core.book.version import CampaignVersion, join_versions
from fillip.core.cohort import Cohort
from fillip.core.errors import Retry
from fillip.core.limit import Limit
from fillip.core.named_list import Lists, NamedList
from fillip.core.schema.coerce import build_coercer
from fillip.core.schema.reader import build_event_reader
from fillip.core.schema.types import derive_type
from fillip.core.tenant import Tenant
from fillip.match.members_postgres import PostgresMembers
from fillip.match.sql import SQL
from fillip.match.transient_postgres import TOO_SLOW, TRANSIENT_ERRORS
from fillip.rows.campaign.postgres import name_lists, read_version

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

TENANT_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
ATTEMPTS = 3
SNAPSHOT: Literal["repeatable_read"] = "repeatable_read"
AGAIN_AFTER_S = 5.0
"""Until a book that could not be built is tried again."""
LOADED = Counter("fillip_match_books_total", "Books loaded from PostgreSQL")
UNBUILT = Counter("fillip_match_books_unbuilt_total", "Books that could not be built: alarm on any")
log = structlog.get_logger()


class PostgresBooks:
    """CampaignBook: loads a tenant's book at first sight, and again when `refresh` or `require` ask for a newer version.

    Each tenant's book is read and built aside: its events, and those of others, go on under what is known meanwhile.
    """

    def __init__(self, pool: asyncpg.Pool, *, with_members: bool = True) -> None:
        """A door, which meets no event with campaigns, can do without the members of cohorts."""
        self._pool = pool
        self._with_members = with_members
        self._books: dict[str, Book] = {}
        self._unbuilt: dict[str, tuple[Unbuilt, float]] = {}  # with the time at which it is tried again
        self._wanted: dict[str, int] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._members = PostgresMembers(pool)

    async def pin(self, tenant_ids: Collection[str]) -> Mapping[str, Book | Unbuilt]:
        """See CampaignBook. A tenant id that could not exist is not asked for."""
        asked = [t for t in tenant_ids if TENANT_ID.fullmatch(t)]
        unbuilt: dict[str, Unbuilt] = {}
        while behind := [t for t in asked if self._is_behind(t)]:
            for tenant_id in behind:
                if found := await self._try_load_book(tenant_id):
                    unbuilt[tenant_id] = found
            asked = [t for t in asked if t not in unbuilt and (t not in behind or t in self._books)]
        return unbuilt | {t: self._books[t] for t in asked}

    @property
    def versions(self) -> dict[str, int]:
        """The version of each book that is known."""
        return {tenant_id: book.version for tenant_id, book in self._books.items()}

    def require(self, tenant_id: str, version: int) -> None:
        """No book of the tenant below `version` is given by `pin` from now on."""
        self._wanted[tenant_id] = max(version, self._wanted.get(tenant_id, 0))

    async def refresh(self, tenant_id: str, version: int) -> None:
        """Load the tenant's book again unless it is as new as `version`; does nothing for a tenant never asked for."""
        if tenant_id in self._books:
            await self._load_book(tenant_id, version)

    def _is_behind(self, tenant_id: str) -> bool:
        book = self._books.get(tenant_id)
        return book is None or book.version < self._wanted.get(tenant_id, 0)

    async def _try_load_book(self, tenant_id: str) -> Unbuilt | None:
        """Load a book that is needed now; what stands in its place where that fails. Raises Retry."""
        known, again_at = self._unbuilt.get(tenant_id, (None, 0.0))
        if known and time.monotonic() < again_at:
            return known
        try:
            await self._load_book(tenant_id, self._wanted.get(tenant_id, 0))
        except Retry:
            raise
        except Exception as error:
            unbuilt = Unbuilt(f"{type(error).__name__}: {error}")
            self._unbuilt[tenant_id] = (unbuilt, time.monotonic() + AGAIN_AFTER_S)
            log.error("a book can't be built, its events are set aside", tenant=tenant_id, exc_info=error)
            return unbuilt
        self._unbuilt.pop(tenant_id, None)
        return None

    async def _load_book(self, tenant_id: str, version: int) -> None:
        turn = self._turns.setdefault(tenant_id, asyncio.Lock())
        async with turn:  # a load that began before the change must not be the last
            old = self._books.get(tenant_id)
            if old and old.version >= version:
                return
            try:
                build = await self._read_book(tenant_id, old)
                book = await asyncio.to_thread(build) if build else None  # aside: a thousand rules take 0.1 s
            except Retry:
                raise
            except Exception as error:
                if isinstance(error, TRANSIENT_ERRORS) and not isinstance(error, TOO_SLOW):
                    raise Retry(f"the books can't be read, PostgreSQL is away: {error}") from error
                UNBUILT.inc()
                raise
            if book:
                self._books[tenant_id] = book
                LOADED.inc()
                log.info("book loaded", tenant=tenant_id, version=book.version, campaigns=len(book.campaign_versions))

    async def _read_book(self, tenant_id: str, old: Book | None) -> Callable[[], Book] | None:
        """What builds the tenant's book; None where there is no such tenant."""
        for _ in range(ATTEMPTS):
            async with self._pool.acquire() as connection, connection.transaction(isolation=SNAPSHOT, readonly=True):
                rows = await self._read_rows(connection, tenant_id, old)
            if rows is None:
                return None
            cohorts = await self._read_cohorts(tenant_id, rows.cohorts, old)
            if cohorts is not None:
                return partial(self._build, rows, cohorts, old)
        raise Retry(f"the cohorts of tenant {tenant_id} change faster than they can be read, or miss members")

    async def _read_rows(self, connection: Connection, tenant_id: str, old: Book | None) -> "_Rows | None":
        await connection.execute("SELECT set_config('app.tenants', $1, true)", tenant_id)
        row = await connection.fetchrow(SQL["tenants"], tenant_id)
        if row is None:
            return None
        lists = await self._load_lists(connection, tenant_id, old)
        known, new = await self._read_campaigns(connection, tenant_id, old, lists)
        actions = await connection.fetch(SQL["actions"], tenant_id)
        limits = await connection.fetch(SQL["limits"], tenant_id)
        cohorts = await connection.fetch(SQL["cohorts"], tenant_id)
        backfilling = frozenset(each for (each,) in await connection.fetch(SQL["backfilling"], tenant_id))
        return _Rows(tenant_id, row, lists, known, new, actions, limits, cohorts, backfilling)

    def _build(self, rows: "_Rows", cohorts: Mapping[str, Cohort], old: Book | None) -> Book:
        read: dict[str, list[CampaignVersion]] = {}
        for row in rows.new:
            version = read_version(**dict(row))
            lists = {list_id: rows.lists[list_id] for list_id in name_lists(version)}
            read.setdefault(version.campaign_id, []).append(msgspec.structs.replace(version, lists=lists))
        campaign_versions = {each: known or join_versions(read[each]) for each, known in rows.known.items()}
        tenant = rows.tenant
        book = Book(
            tenant=Tenant(rows.tenant_id, *(tenant[name] for name in Tenant.__struct_fields__[1:])),
            version=tenant["book_version"],
            actions=_read_actions(rows.actions, old),
            read_user=build_coercer(derive_type(msgspec.json.decode(tenant["user_schema"]))),
            campaign_versions=campaign_versions,
            by_action=index_triggers(campaign_versions.values(), old.by_action if old else {}, tenant["time_zone"]),
            limits={limit["limit_id"]: Limit(**dict(limit)) for limit in rows.limits},
            cohorts=cohorts,
            lists=rows.lists,
            numbered=tenant["numbered"],
            backfilling=rows.backfilling,
            has_merged=tenant["has_merged"],
        )
        _ = book.limits_by_version  # made at the first look otherwise, which is an event's
        return book

    async def _read_campaigns(
        self, connection: Connection, tenant_id: str, old: Book | None, lists: Lists
    ) -> tuple[dict[str, CampaignVersion | None], list[asyncpg.Record]]:
        """Campaigns in order, and rows for those that are not known: a known version keeps its compiled rules and index,
        unless a list that it reads has changed.
        """
        campaign_versions = old.campaign_versions if old else {}
        known: dict[str, CampaignVersion | None] = {}
        for campaign_id, version, state in await connection.fetch(SQL["campaigns"], tenant_id):
            kept = campaign_versions.get(campaign_id)
            same = kept and (kept.version, kept.state) == (version, state) and kept.fits(lists)
            known[campaign_id] = kept if same else None
        missing = [campaign_id for campaign_id, campaign_version in known.items() if campaign_version is None]
        return known, await connection.fetch(SQL["definitions"], tenant_id, missing) if missing else []

    async def _load_lists(self, connection: Connection, tenant_id: str, old: Book | None) -> dict[str, NamedList]:
        lists = {}
        for list_id, version in await connection.fetch(SQL["lists"], tenant_id):
            known = old.lists.get(list_id) if old else None
            if known is None or known.version != version:
                items = await connection.fetchval(SQL["items"], tenant_id, list_id, version)
                known = NamedList(version, msgspec.json.decode(items))
            lists[list_id] = known
        return lists

    async def _read_cohorts(
        self, tenant_id: str, rows: Iterable[asyncpg.Record], old: Book | None
    ) -> dict[str, Cohort] | None:
        """Known ones as they are, of the others what has changed is read; None where one was replaced meanwhile: look again."""
        cohorts: dict[str, Cohort] = {}
        if not self._with_members:
            return cohorts
        for cohort_id, version, content_id, size in rows:
            known = old.cohorts.get(cohort_id) if old else None
            if known is None or (known.version, known.content_id) != (version, content_id):
                known = await self._members.read(tenant_id, content_id, version=version, size=size, known=known)
                if known is None:
                    return None
            cohorts[cohort_id] = known
        return cohorts


def _read_actions(rows: Iterable[asyncpg.Record], old: Book | None) -> dict[str, Action]:
    actions = {}
    for row in rows:
        schema = msgspec.json.decode(row["schema"])
        known = old.actions.get(row["name"]) if old else None
        same = known is not None and known.schema == schema
        actions[row["name"]] = known if known and same else Action(row["name"], schema, build_event_reader(schema))
    return actions


class _Rows(msgspec.Struct, frozen=True):
    """A tenant's rows, all of one moment; of campaigns those that are not known as they are."""

    tenant_id: str
    tenant: asyncpg.Record
    lists: dict[str, NamedList]
    known: dict[str, CampaignVersion | None]
    new: list[asyncpg.Record]
    actions: list[asyncpg.Record]
    limits: list[asyncpg.Record]
    cohorts: list[asyncpg.Record]
    backfilling: frozenset[str]
