"""What a tenant stores, held against its quotas in the transaction that stores it."""

from sqlalchemy import BigInteger, Column, FetchedValue, Table, Text, func, select
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from fillip.core.ports import Caller
from fillip.core.quota import QuotaName
from fillip.http.errors import QuotaExceeded
from fillip.manage.store.tables import metadata

tenant_quota = Table(
    "tenant_quota", metadata, Column("tenant_id", Text, primary_key=True), Column("quotas", JSONB, nullable=False)
)
tenant_usage = Table(
    "tenant_usage",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    *(
        Column(name, BigInteger, nullable=False, server_default=FetchedValue())
        for name in ("coupon_codes", "stored_bytes")
    ),
)
UNBOUNDED = 2**62


def require_room(caller: Caller, name: QuotaName, used: int, more: int = 1) -> None:
    """Raise QuotaExceeded unless `more` fit beside what is `used`, counted under a lock that who adds to it must have."""
    quota: int = getattr(caller.quotas, name)
    if used + more > quota:
        raise QuotaExceeded(name, quota, used, more)


async def take_codes(connection: AsyncConnection, caller: Caller, number: int) -> None:
    """Count coupon codes that were added or ordered; raises QuotaExceeded. Call it last: it locks the tenant's sums."""
    used = await _move(connection, caller.tenant_id, "coupon_codes", number)
    require_room(caller, "coupon_codes", used - number, number)


async def count_bytes(connection: AsyncConnection, tenant_id: str, number: int, quota: int = UNBOUNDED) -> None:
    """Count bytes of JSON that were stored, or freed where `number` is below zero; raises QuotaExceeded where it grows.

    Call it last: it locks the tenant's sums.
    """
    used = await _move(connection, tenant_id, "stored_bytes", number)
    if number > 0 and used > quota:
        raise QuotaExceeded("stored_bytes", quota, used - number, number)


async def read_usage(connection: AsyncConnection, tenant_id: str) -> dict[str, int]:
    """The running sums."""
    row = (await connection.execute(select(tenant_usage).where(tenant_usage.c.tenant_id == tenant_id))).one_or_none()
    return {name: row._mapping[name] if row else 0 for name in ("coupon_codes", "stored_bytes")}


async def _move(connection: AsyncConnection, tenant_id: str, name: str, number: int) -> int:
    """The sum after `number` was added, with the row locked until the transaction ends."""
    added = insert(tenant_usage).values({"tenant_id": tenant_id, name: max(0, number)})
    sum_ = func.greatest(0, tenant_usage.c[name] + number)  # what was there before it was counted may be freed too
    moved = added.on_conflict_do_update(index_elements=["tenant_id"], set_={name: sum_})
    total: int = (await connection.execute(moved.returning(tenant_usage.c[name]))).scalar_one()
    return total
