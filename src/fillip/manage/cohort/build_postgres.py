"""Builds: each attempt at a new version of a cohort, how far it is, and what came of it."""

from typing import Any, Literal
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict
from sqlalchemy import Row, case, delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from fillip.core.ports import Caller
from fillip.http.errors import NotFound
from fillip.http.paging import Paging
from fillip.manage.store.keyset import RowPage, inline_count, read_page
from fillip.manage.store.postgres import Connection, transaction
from fillip.manage.store.tables.cohort import cohort, cohort_build

KEPT_BUILDS = 100
"""Builds of one cohort that are kept, the newest."""
SILENT_FOR = "interval '15 minutes'"
"""A build that runs is heard of at each step: one that was not for so long has ended with its process."""
Change = Literal["replace", "add", "remove"]
BuildStep = Literal["waiting", "querying", "matching", "numbering", "writing"]
BuildState = Literal["running", "done", "refused", "failed"]
_IS_LOST = (cohort_build.c.state == "running") & (cohort_build.c.step != "waiting")
_IS_LOST &= cohort_build.c.updated_at < func.now() - text(SILENT_FOR)
_COLUMNS = [
    column
    for column in cohort_build.c
    if column.name not in {"rejections", "state", "error"}
] + [
    case((_IS_LOST, "failed"), else_=cohort_build.c.state).label("state"),
    case((_IS_LOST, "its process ended before it did: send the list or run the query again"), else_=cohort_build.c.error).label("error"),
]  # fmt: skip


class Progress(Struct, frozen=True):
    """What is new of a build, by column."""

    state: BuildState | UnsetType = UNSET
    step: BuildStep | UnsetType = UNSET
    query_revision: int | UnsetType = UNSET
    lines: int | UnsetType = UNSET
    numbered: int | UnsetType = UNSET
    to_number: int | UnsetType = UNSET
    duplicates: int | UnsetType = UNSET
    added: int | UnsetType = UNSET
    removed: int | UnsetType = UNSET
    size: int | UnsetType = UNSET
    version: int | UnsetType = UNSET
    book_version: int | UnsetType = UNSET
    error: str | UnsetType = UNSET


async def begin_build(
    connection: Connection,
    caller: Caller,
    cohort_id: str,
    change: Change,
    *,
    lines: int,
    rejected: int,
    rejections: str,
) -> UUID:
    """Store a build that begins, and forget the oldest ones of its cohort; its id."""
    mine = (cohort_build.c.tenant_id == caller.tenant_id) & (cohort_build.c.cohort_id == cohort_id)
    order = cohort_build.c.build_id.desc()
    kept = select(cohort_build.c.build_id).where(mine).order_by(order).limit(inline_count(KEPT_BUILDS - 1))
    await connection.execute(delete(cohort_build).where(mine, cohort_build.c.build_id.not_in(kept.scalar_subquery())))
    counted = {"lines": lines, "rejected": rejected, "rejections": rejections}
    named = {"tenant_id": caller.tenant_id, "cohort_id": cohort_id, "change": change}
    statement = insert(cohort_build).values(named | counted).returning(cohort_build.c.build_id)
    build_id: UUID = (await connection.execute(statement)).scalar_one()
    return build_id


async def tell_build(engine: AsyncEngine, caller: Caller, build_id: UUID, progress: Progress) -> None:
    """Store how far a build is, or that it has come to nothing, in a transaction of its own. Raises Retry."""
    async with transaction(engine, caller) as connection:
        await change_build(connection, caller, build_id, progress)


async def change_build(connection: Connection, caller: Caller, build_id: UUID, progress: Progress) -> None:
    """As `tell_build`, in the transaction at hand. The cohort keeps the error of its newest build, or that it has none."""
    values: dict[str, Any] = {name: value for name, value in asdict(progress).items() if value is not UNSET}
    has_ended = progress.state not in (UNSET, "running")
    ended = {"ended_at": func.now()} if has_ended else {}
    mine = (cohort_build.c.tenant_id == caller.tenant_id) & (cohort_build.c.build_id == build_id)
    changed = update(cohort_build).where(mine).values(values | ended | {"updated_at": func.now()})
    cohort_id = (await connection.execute(changed.returning(cohort_build.c.cohort_id))).scalar_one_or_none()
    if has_ended and cohort_id is not None:
        told = update(cohort).where(cohort.c.tenant_id == caller.tenant_id, cohort.c.cohort_id == cohort_id)
        await connection.execute(told.values(last_error=values.get("error")))


async def find_build(connection: Connection, caller: Caller, cohort_id: str, build_id: UUID) -> Row[Any]:
    """One build; raises NotFound."""
    row = (await connection.execute(select(*_COLUMNS).where(*_match(caller, cohort_id, build_id)))).one_or_none()
    if row is None:
        raise NotFound(f"there is no build {build_id} of cohort {cohort_id}: the newest {KEPT_BUILDS} are kept")
    return row


async def read_rejections(connection: Connection, caller: Caller, cohort_id: str, build_id: UUID) -> str:
    """The rejected lines of a build as CSV; raises NotFound."""
    await find_build(connection, caller, cohort_id, build_id)
    found = select(cohort_build.c.rejections).where(*_match(caller, cohort_id, build_id))
    return str((await connection.execute(found)).scalar_one())


async def list_builds(connection: Connection, caller: Caller, cohort_id: str, pages: Paging) -> RowPage:
    """The builds of a cohort, the newest first."""
    mine = (cohort_build.c.tenant_id == caller.tenant_id) & (cohort_build.c.cohort_id == cohort_id)
    statement = select(*_COLUMNS).where(mine)
    return await read_page(connection, statement, [cohort_build.c.build_id], pages, descending=True)


def _match(caller: Caller, cohort_id: str, build_id: UUID) -> list[Any]:
    table = cohort_build.c
    return [table.tenant_id == caller.tenant_id, table.cohort_id == cohort_id, table.build_id == build_id]
