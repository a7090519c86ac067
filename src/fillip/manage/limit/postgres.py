"""Limits as stored: reading, and writing with the book change."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Row, exists, select

from fillip.core.campaign.campaign import Campaign
from fillip.core.campaign.check_limit import check_key_action
from fillip.core.limit import Limit
from fillip.core.ports import Caller
from fillip.core.problem import Fault
from fillip.core.rolling import find_part, tell_end
from fillip.core.tenant import end_window
from fillip.http.errors import Conflict, refuse
from fillip.http.paging import Paging
from fillip.manage.book.postgres import change_book
from fillip.manage.object.postgres import Objects
from fillip.manage.store.driver_postgres import DriverConnection
from fillip.manage.store.keyset import RowPage, read_page
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.book import spending_limit
from fillip.manage.store.tables.ledger import limit_counter
from fillip.manage.store.tables.tenant import end_user

MAX_LIMITS = 1_000
"""Most limits of a tenant."""
limits = Objects(spending_limit, "limit_id", "there is no limit '{}'")
_limit = spending_limit.c
_READ_ROLLING = Path(__file__).with_name("read_rolling.sql").read_text(encoding="utf-8")


async def list_counters(
    connection: Connection, caller: Caller, limit_id: str, user_id: str | None, pages: Paging
) -> RowPage:
    """A page of a limit's counters by user, key and window, all or those of one user."""
    counter = limit_counter.c
    statement = select(limit_counter).where(counter.tenant_id == caller.tenant_id, counter.limit_id == limit_id)
    if user_id is not None:
        statement = statement.where(counter.user_id == user_id)
    return await read_page(connection, statement, [counter.user_id, counter.key, counter.window_start], pages)


async def read_standing(
    connection: Connection, caller: Caller, limit: Limit, rows: Sequence[Row[Any]], tenant: Row[Any]
) -> list[tuple[int, datetime | None]]:
    """Of each of these counters of a limit what is used now, and until when."""
    if limit.rolling_s is None:
        zones = await _find_zones(connection, caller, {row.user_id for row in rows}) if limit.zone == "user" else {}
        windows = [(row, zones.get(row.user_id) or tenant.time_zone) for row in rows]
        return [(row.used, end_window(limit.span, row.window_start, time_zone)) for row, time_zone in windows]
    part = find_part(limit.rolling_s, datetime.now(UTC))
    last = part.number if tenant.clock == "live" else None
    users, keys = [row.user_id for row in rows], [row.key for row in rows]
    uses = await DriverConnection(connection).fetch(
        _READ_ROLLING, caller.tenant_id, limit.limit_id, users, keys, last, part.reach
    )
    found = {(use["user_id"], use["key"]): use for use in uses}
    standing: list[tuple[int, datetime | None]] = []
    for row in rows:
        use = found.get((row.user_id, row.key))
        oldest = use["oldest"] if use else None
        standing.append((use["used"] if use else 0, None if oldest is None else tell_end(part, oldest)))
    return standing


async def _find_zones(connection: Connection, caller: Caller, user_ids: Collection[str]) -> dict[str, str | None]:
    """What these users have as their own time zone now."""
    user = end_user.c
    statement = select(user.user_id, user.time_zone).where(
        user.tenant_id == caller.tenant_id, user.user_id.in_(user_ids)
    )
    return {row.user_id: row.time_zone for row in await connection.execute(statement)}


def read_limit(row: Row[Any]) -> Limit:
    """The limit that a row of spending_limit holds."""
    return Limit(**{name: row._mapping[name] for name in Limit.__struct_fields__})


async def list_keyed(
    connection: Connection, caller: Caller, *, action: str | None = None, campaign_id: str | None = None
) -> list[Limit]:
    """The limits split by a key, all or those of one action or campaign, by id."""
    mine = [_limit.tenant_id == caller.tenant_id, _limit.key.is_not(None)]
    if action:
        mine.append(_limit.action == action)
    if campaign_id:
        mine.append(_limit.campaign_id == campaign_id)
    rows = await connection.execute(select(spending_limit).where(*mine).order_by(_limit.limit_id))
    return [read_limit(row) for row in rows]


async def check_keys(connection: Connection, caller: Caller, campaign_id: str, campaign: Campaign) -> None:
    """Whether the limits of a campaign can read their keys from `campaign` too; raises DefinitionRefused."""
    for limit in await list_keyed(connection, caller, campaign_id=campaign_id):
        at, reads = "/quest/steps" if campaign.quest else "/action", f"reads its key from '{limit.action}'"
        faults = check_key_action(limit, campaign)
        refuse([Fault(at, f"limit '{limit.limit_id}' {reads}: {fault.message}") for fault in faults])


async def require_limits(connection: Connection, caller: Caller, more: int) -> None:
    """Raise Conflict where a tenant may not have so many more."""
    if await limits.count(connection, caller.tenant_id) + more > MAX_LIMITS:
        raise Conflict(f"a tenant may have {MAX_LIMITS} limits: delete some first")


async def add_limit(connection: Connection, caller: Caller, limit: Limit, *, in_definition: bool = False) -> Row[Any]:
    """Store a new limit, made apart or within a campaign's definition; raises Conflict when the id is taken."""
    if await limits.seek(connection, caller, limit.limit_id):
        raise Conflict(f"limit '{limit.limit_id}' exists: choose another id, or change it by PUT")
    values = {name: getattr(limit, name) for name in Limit.__struct_fields__} | {"in_definition": in_definition}
    return await _announce(connection, caller, await limits.insert(connection, caller, limit.limit_id, values))


def require_apart(row: Row[Any]) -> None:
    """Raise Conflict where a limit is part of its campaign's definition."""
    if row.in_definition:
        path = f"/v1/campaigns/{row.campaign_id}"
        raise Conflict(
            f"limit '{row.limit_id}' is part of the definition of campaign '{row.campaign_id}': change it there, by PUT {path}"
        )


async def save_limit(connection: Connection, caller: Caller, limit: Limit) -> Row[Any]:
    """Store a limit's cap and checked key anew: nothing else of it ever changes."""
    values = {"cap": limit.cap, "key_checked": limit.key_checked}
    return await _announce(connection, caller, await limits.change(connection, caller, limit.limit_id, values))


async def remove_limit(connection: Connection, caller: Caller, limit_id: str) -> None:
    """Delete a limit that was never used; raises Conflict when grants were counted on it."""
    await limits.remove(connection, caller, limit_id)
    if await has_counted(connection, caller, limit_id):
        raise Conflict(f"limit '{limit_id}' has counted grants, which must stay provable: raise its cap instead")
    await change_book(connection, caller, "limit", limit_id, {"limit_id": limit_id, "deleted": True}, growing=False)


async def has_counted(connection: Connection, caller: Caller, limit_id: str) -> bool:
    """Whether grants were counted on a limit."""
    used = exists().where(limit_counter.c.tenant_id == caller.tenant_id, limit_counter.c.limit_id == limit_id)
    return bool((await connection.execute(select(used))).scalar_one())


async def _announce(connection: Connection, caller: Caller, row: Row[Any]) -> Row[Any]:
    document = {**msgspec.to_builtins(read_limit(row)), "revision": row.revision}
    await change_book(connection, caller, "limit", row.limit_id, document)
    return row
