"""What can still be given, as it stands: free codes of pools, and badges that a user does not hold. Nothing is locked."""

from collections.abc import Collection, Mapping
from pathlib import Path

from fillip.core.ledger.stock import BadgeKey, PoolKey, Stock, WantedRewards, count_codes, list_badges
from fillip.core.ports import Caller
from fillip.manage.store.driver_postgres import DriverConnection
from fillip.manage.store.postgres import Connection

_SQL = {
    name: Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8") for name in ("count_free", "find_held")
}


async def count_free(connection: Connection, caller: Caller, wanted: Mapping[PoolKey, int]) -> dict[PoolKey, int]:
    """How many free codes these pools have, each up to as many as are wanted."""
    if not wanted:
        return {}
    asked = [pool for _, pool in wanted], list(wanted.values())
    rows = await DriverConnection(connection).fetch(_SQL["count_free"], caller.tenant_id, *asked)
    return {(caller.tenant_id, row["pool_id"]): row["free"] for row in rows}


async def find_held(connection: Connection, caller: Caller, asked: Collection[BadgeKey]) -> set[BadgeKey]:
    """Which of these badges, all of one user, the user holds."""
    if not asked:
        return set()
    user_id, badges = next(iter(asked))[1], [badge for _, _, badge in asked]
    rows = await DriverConnection(connection).fetch(_SQL["find_held"], caller.tenant_id, user_id, badges)
    return {(caller.tenant_id, user_id, row["badge_id"]) for row in rows}


async def read_stock(connection: Connection, caller: Caller, wanted: WantedRewards) -> Stock:
    """What one grant may take from."""
    free = await count_free(connection, caller, count_codes([wanted]))
    held = await find_held(connection, caller, list_badges([wanted]))
    return Stock({pool: ["-"] * count for pool, count in free.items()}, held)
