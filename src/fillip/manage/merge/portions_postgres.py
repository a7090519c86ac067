"""The portions of a merge behind its first transaction: lots that are still in the merged user's wallets come over."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import Struct
from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from fillip.core.ports import Caller
from fillip.manage.merge.postgres import hold_merges
from fillip.manage.merge.wallets_postgres import MOST_LOTS, move_wallets
from fillip.manage.store.postgres import transaction
from fillip.manage.store.tables.tenant import user_merge

_DUE = text(Path(__file__).with_name("find_due.sql").read_text(encoding="utf-8"))


class DueMerge(Struct, frozen=True):
    """A merged user of whose lots some are still to come over."""

    tenant_id: str
    user_id: str

    @property
    def caller(self) -> Caller:
        """Fillip itself, within the tenant."""
        return Caller(None, self.tenant_id, frozenset())


async def find_due(finder: AsyncEngine) -> DueMerge | None:
    """The merge that is next, of all tenants. Raises Retry."""
    async with transaction(finder) as connection:
        row = (await connection.execute(_DUE)).one_or_none()
    return None if row is None else DueMerge(row.tenant_id, row.user_id)


async def move_portion(engine: AsyncEngine, due: DueMerge, most_lots: int = MOST_LOTS) -> bool:
    """Bring the next lots over, whole and once, to who the user is by now; whether there were any to bring. Raises Retry."""
    column = user_merge.c
    mine = (column.tenant_id == due.tenant_id) & (column.user_id == due.user_id)
    async with transaction(engine, due.caller) as connection:
        await hold_merges(connection, due.caller)
        still = select(user_merge).where(mine, column.next_at <= func.now()).with_for_update()
        row = (await connection.execute(still)).one_or_none()
        if row is None:
            return False
        users, merging = (row.user_id, row.merged_into), (row.merge_id, datetime.now(UTC))
        wallets = await move_wallets(connection, due.caller, users, merging, most_lots)
        before = row.moved["points"]
        points = {currency: before.get(currency, 0) + amount for currency, amount in wallets.points.items()}
        values = {
            "moved": row.moved | {"points": points},
            "next_at": None if wallets.is_whole else func.clock_timestamp(),
        }
        await connection.execute(update(user_merge).where(mine).values(values))
    return True


async def put_off(engine: AsyncEngine, due: DueMerge, pause: timedelta) -> None:
    """Let others go first where a merge can't go on now. Raises Retry."""
    column = user_merge.c
    async with transaction(engine, due.caller) as connection:
        mine = (column.tenant_id == due.tenant_id) & (column.user_id == due.user_id) & column.next_at.is_not(None)
        await connection.execute(update(user_merge).where(mine).values(next_at=func.now() + pause))
