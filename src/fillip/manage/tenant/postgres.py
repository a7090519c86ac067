"""Tenants as stored, their quotas, and what they store: held against the quotas in the transaction that stores it."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, func, select, update
from sqlalchemy.dialects.postgresql import insert

from fillip.core.ports import Caller
from fillip.http.errors import Conflict, NotFound, QuotaExceeded
from fillip.http.paging import Paging
from fillip.manage.object.postgres import Values
from fillip.manage.store.keyset import RowPage, read_page
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.tenant import tenant, tenant_quota, tenant_usage
from fillip.manage.tenant.checks import require_room

UNBOUNDED = 2**62
_DESCRIBED = ("tenant_id", "name", "time_zone", "currency", "clock", "user_schema", "holdout_percent")


async def find_tenant(connection: Connection, tenant_id: str) -> Row[Any]:
    """One tenant; raises NotFound."""
    statement = select(tenant).where(tenant.c.tenant_id == tenant_id)
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        raise NotFound(f"there is no tenant {tenant_id}")
    return row


async def list_tenants(connection: Connection, pages: Paging) -> RowPage:
    """A page of all tenants by id, with the owner's rights."""
    return await read_page(connection, select(tenant), [tenant.c.tenant_id], pages)


async def insert_tenant(connection: Connection, tenant_id: str, values: Values) -> None:
    """Store a new tenant with the owner's rights, `values` by column; raises Conflict where the id is taken."""
    taken = await connection.execute(select(tenant.c.tenant_id).where(tenant.c.tenant_id == tenant_id))
    if taken.one_or_none():
        raise Conflict(f"there is a tenant {tenant_id} already")
    await connection.execute(insert(tenant).values(tenant_id=tenant_id, **values))
    await connection.execute(insert(tenant_usage).values(tenant_id=tenant_id))


async def hold_tenant(connection: Connection, tenant_id: str) -> Row[Any]:
    """One tenant, kept from changing until the transaction ends; rows that name it may be added meanwhile."""
    statement = select(tenant).where(tenant.c.tenant_id == tenant_id)
    return (await connection.execute(statement.with_for_update(key_share=True))).one()


def describe_tenant(row: Row[Any]) -> dict[str, object]:
    """A tenant as a change of its book has it."""
    return {name: row._mapping[name] for name in _DESCRIBED}


async def hold_user_schema(connection: Connection, tenant_id: str) -> Mapping[str, Any]:
    """The user schema, kept from changing until the commit, so that no user is stored under one that is being changed."""
    statement = select(tenant.c.user_schema).where(tenant.c.tenant_id == tenant_id)
    schema: Mapping[str, Any] = (await connection.execute(statement.with_for_update(read=True))).scalar_one()
    return schema


async def change_tenant(connection: Connection, tenant_id: str, values: Values) -> None:
    """Store parts of a tenant anew, `values` by column."""
    moved = {**values, "revision": tenant.c.revision + 1}
    await connection.execute(update(tenant).where(tenant.c.tenant_id == tenant_id).values(moved))


async def read_quotas(connection: Connection, tenant_id: str) -> Mapping[str, int]:
    """The quotas of a tenant that are not the default."""
    statement = select(tenant_quota.c.quotas).where(tenant_quota.c.tenant_id == tenant_id)
    return (await connection.execute(statement)).scalar_one_or_none() or {}


async def change_quotas(connection: Connection, tenant_id: str, changes: Mapping[str, int | None]) -> None:
    """Store quotas with the owner's rights, None for the default; those not named stay. Locks them until the commit."""
    mine = tenant_quota.c.tenant_id == tenant_id
    await connection.execute(insert(tenant_quota).values(tenant_id=tenant_id, quotas={}).on_conflict_do_nothing())
    kept = (await connection.execute(select(tenant_quota.c.quotas).where(mine).with_for_update())).scalar_one()
    given = {name: value for name, value in {**kept, **changes}.items() if value is not None}
    await connection.execute(update(tenant_quota).where(mine).values(quotas=given))


async def take_codes(connection: Connection, caller: Caller, number: int) -> None:
    """Count coupon codes that were added or ordered; raises QuotaExceeded. Call it last: it locks the tenant's sums."""
    used = await _move(connection, caller.tenant_id, "coupon_codes", number)
    require_room(caller, "coupon_codes", used - number, number)


async def count_bytes(connection: Connection, tenant_id: str, number: int, quota: int = UNBOUNDED) -> None:
    """Count bytes of JSON that were stored, or freed where `number` is below zero; raises QuotaExceeded where it grows.

    Call it last: it locks the tenant's sums.
    """
    used = await _move(connection, tenant_id, "stored_bytes", number)
    if number > 0 and used > quota:
        raise QuotaExceeded("stored_bytes", quota, used - number, number)


async def read_usage(connection: Connection, tenant_id: str) -> dict[str, int]:
    """The running sums."""
    row = (await connection.execute(select(tenant_usage).where(tenant_usage.c.tenant_id == tenant_id))).one_or_none()
    return {name: row._mapping[name] if row else 0 for name in ("coupon_codes", "stored_bytes")}


async def _move(connection: Connection, tenant_id: str, name: str, number: int) -> int:
    """The sum after `number` was added, with the row locked until the transaction ends."""
    added = insert(tenant_usage).values({"tenant_id": tenant_id, name: max(0, number)})
    sum_ = func.greatest(0, tenant_usage.c[name] + number)  # what was there before it was counted may be freed too
    moved = added.on_conflict_do_update(index_elements=["tenant_id"], set_={name: sum_})
    total: int = (await connection.execute(moved.returning(tenant_usage.c[name]))).scalar_one()
    return total
