"""Coupon pools as stored, their codes, and the generations that are ordered."""

from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy import Row, case, exists, func, insert, or_, select

from fillip.core.ports import Caller
from fillip.http.errors import NotFound
from fillip.http.paging import Paging
from fillip.manage.object.postgres import Objects
from fillip.manage.store.keyset import RowPage, read_page
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.book import coupon, coupon_generation, coupon_pool

pools = Objects(coupon_pool, "pool_id", "there is no coupon pool {}")
_made = coupon_generation.c
_STATE = case((_made.finished_at.is_(None), "running"), else_="done").label("state")


class CodeCounts(Struct, frozen=True):
    """How many codes of a pool are free, assigned to a user, and redeemed."""

    free: int
    assigned: int
    redeemed: int


async def count_codes(connection: Connection, caller: Caller, pool_id: str) -> CodeCounts:
    """The codes of a pool, counted one by one."""
    mine = (coupon.c.tenant_id == caller.tenant_id) & (coupon.c.pool_id == pool_id)
    free = select(func.count()).select_from(coupon).where(mine, coupon.c.incentive_id.is_(None))
    given = select(func.count(), func.count(coupon.c.redeemed_at)).where(mine, coupon.c.incentive_id.is_not(None))
    left = (await connection.execute(free)).scalar_one()
    taken, redeemed = (await connection.execute(given)).one()
    return CodeCounts(free=left, assigned=taken - redeemed, redeemed=redeemed)


async def has_codes(connection: Connection, caller: Caller, pool_id: str) -> bool:
    """Whether a pool has a code, given or not, or codes were ever ordered for it."""
    codes = exists().where(coupon.c.tenant_id == caller.tenant_id, coupon.c.pool_id == pool_id)
    free = codes.where(coupon.c.incentive_id.is_(None))
    given = codes.where(coupon.c.incentive_id.is_not(None))
    ordered = exists().where(_made.tenant_id == caller.tenant_id, _made.pool_id == pool_id)
    return bool((await connection.execute(select(or_(ordered, free, given)))).scalar_one())


async def count_running(connection: Connection, caller: Caller) -> int:
    """How many generations of the caller are not finished."""
    mine = (_made.tenant_id == caller.tenant_id) & _made.finished_at.is_(None)
    return (await connection.execute(select(func.count()).where(mine))).scalar_one()


async def insert_generation(
    connection: Connection, caller: Caller, pool_id: str, pattern: str, wanted: int
) -> Row[Any]:
    """Order a generation; the row, with its `state`."""
    values = {"tenant_id": caller.tenant_id, "pool_id": pool_id, "pattern": pattern, "wanted": wanted}
    made = insert(coupon_generation).values(values).returning(*_made, _STATE)
    return (await connection.execute(made)).one()


async def list_generations(connection: Connection, caller: Caller, pool_id: str, pages: Paging) -> RowPage:
    """A page of a pool's generations with their `state`, the newest first."""
    statement = select(coupon_generation, _STATE).where(_made.tenant_id == caller.tenant_id, _made.pool_id == pool_id)
    return await read_page(connection, statement, [_made.generation_id], pages, descending=True)


async def find_generation(connection: Connection, caller: Caller, pool_id: str, generation_id: UUID) -> Row[Any]:
    """One generation with its `state`; raises NotFound."""
    mine = (_made.tenant_id == caller.tenant_id) & (_made.pool_id == pool_id)
    statement = select(coupon_generation, _STATE).where(mine, _made.generation_id == generation_id)
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        raise NotFound(f"pool {pool_id} has no generation {generation_id}")
    return row
