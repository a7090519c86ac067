"""A change of the book: numbered and written in the transaction of the change itself, so that the WAL carries it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import msgspec
from sqlalchemy import Row, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from fillip.core.errors import Retry
from fillip.core.ports import Caller
from fillip.manage.store.postgres import Connection, find_state
from fillip.manage.store.tables import tenant as tenant_tables
from fillip.manage.store.tables.book import book_change
from fillip.manage.store.tables.tenant import tenant
from fillip.manage.tenant.postgres import UNBOUNDED, count_bytes

_CHANGED = "fillip_book_version"
_HOLD_LIMITS = text("SELECT hold_limits(:tenant_id)")
_LOCK_NOT_AVAILABLE = "55P03"
_FIND_BEHIND = text(Path(__file__).with_name("find_behind.sql").read_text(encoding="utf-8"))
BookKind = Literal["tenant", "action", "campaign", "limit", "cohort", "list"]


async def change_book(
    connection: Connection,
    caller: Caller,
    kind: BookKind,
    object_id: str,
    document: Mapping[str, object],
    *,
    more_bytes: int = 0,
    growing: bool = True,
) -> int:
    """Record that an object of the caller's book is now `document` (its whole new state); the new book version.

    `more_bytes` are stored beside it. Holds the tenant's row until the commit, so versions are in commit order: call it
    last. Raises QuotaExceeded where the tenant's stored_bytes have no room; what only ends or removes is always let by.
    """
    version = await record_change(connection, caller.tenant_id, caller.key_id, kind, object_id, document)
    quota = caller.quotas.stored_bytes if growing else UNBOUNDED
    await count_bytes(connection, caller.tenant_id, len(msgspec.json.encode(document)) + more_bytes, quota)
    return version


async def record_change(
    connection: Connection,
    tenant_id: str,
    key_id: UUID | None,
    kind: BookKind,
    object_id: str,
    document: Mapping[str, object],
) -> int:
    """As change_book, for the operator too, who has no key."""
    return await record_changes(connection, tenant_id, key_id, kind, {object_id: document})


async def record_changes(
    connection: Connection,
    tenant_id: str,
    key_id: UUID | None,
    kind: BookKind,
    documents: Mapping[str, Mapping[str, object]],
) -> int:
    """As record_change, of several objects, each a version of its own; the last of them."""
    numbered = (
        update(tenant)
        .where(tenant.c.tenant_id == tenant_id)
        .values(book_version=tenant.c.book_version + len(documents))
        .returning(tenant.c.book_version)
    )
    last: int = (await connection.execute(numbered)).scalar_one()
    changes = [
        {"tenant_id": tenant_id, "book_version": version, "kind": kind, "object_id": object_id}
        | {"document": document, "changed_by": key_id}
        for version, (object_id, document) in enumerate(documents.items(), last - len(documents) + 1)
    ]
    await connection.execute(insert(book_change), changes)
    connection.info[_CHANGED] = last
    return last


def take_change(connection: Connection) -> int | None:
    """The version that the connection's transaction has made of its tenant's book, None where it made none; once."""
    version: int | None = connection.info.pop(_CHANGED, None)
    return version


async def find_force(connection: Connection, caller: Caller) -> int | None:
    """The version of the caller's book that every living worker decides under; None where none has the book."""
    found: int | None = (await connection.execute(_FIND_BEHIND, {"tenant_id": caller.tenant_id})).scalar_one()
    return found


async def hold_limits(connection: Connection, caller: Caller) -> None:
    """Keep batches from deciding by the caller's limits until the transaction ends, once those at work are done.

    Call it before anything is locked. Raises Retry after 2 s: later batches wait behind it, those of others too.
    """
    try:
        await connection.execute(_HOLD_LIMITS, {"tenant_id": caller.tenant_id})
    except DBAPIError as error:
        if find_state(error) != _LOCK_NOT_AVAILABLE:
            raise
        raise Retry("a batch of events is being counted on these limits; nothing has changed: try again") from error


async def lock_tenant(connection: Connection, caller: Caller) -> Row[Any]:
    """The caller's tenant row, locked until the transaction ends: changes of one tenant's book come one by one."""
    statement = (
        select(tenant_tables.tenant).where(tenant_tables.tenant.c.tenant_id == caller.tenant_id).with_for_update()
    )
    return (await connection.execute(statement)).one()
