"""What the tenant has defined, read under the lock that orders all changes of its book."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Column, select

from fillip.core.campaign.campaign import Campaign
from fillip.core.campaign.vocabulary import TypeContext, Vocabulary
from fillip.core.named_list import MAX_LIST_ITEMS
from fillip.core.ports import Caller
from fillip.core.redemption import REDEMPTION, REDEMPTION_SCHEMA
from fillip.core.schema.types import Field, Kind, ListOf, ObjectType, Scalar, derive_event_type, derive_type
from fillip.manage.action.postgres import actions
from fillip.manage.book.postgres import change_book, lock_tenant
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables import book as book_tables
from fillip.manage.store.tables import cohort as cohort_tables


async def read_vocabulary(connection: Connection, caller: Caller, campaign: Campaign, now: datetime) -> Vocabulary:
    """What is there of all that `campaign` names, the same as long as nothing changes; takes the tenant's lock."""
    row = await lock_tenant(connection, caller)
    if campaign.codes:
        await _define_redemption(connection, caller)
    schemas = await read_actions(connection, caller, {each.action for each in campaign.expressions})
    cohorts = select(cohort_tables.cohort.c.cohort_id).where(cohort_tables.cohort.c.tenant_id == caller.tenant_id)
    found = frozenset((await connection.execute(cohorts)).scalars())
    currencies = await read_points(connection, caller)
    pools = await _find(connection, book_tables.coupon_pool.c.pool_id, {reward.pool for reward in campaign.rewards})
    badges = await _find(connection, book_tables.badge.c.badge_id, {reward.badge for reward in campaign.rewards})
    lists = await read_list_types(connection, caller)
    levels = await read_levels(connection, caller)
    types = {name: derive_event_type(schema) for name, schema in schemas.items()}
    return Vocabulary(
        currency=row.currency,
        types=TypeContext(types, user=derive_type(row.user_schema), lists=lists, cohorts=found, levels=levels),
        points=currencies,
        pools=pools,
        badges=badges,
        now=now if row.clock == "live" else None,
        time_zone=row.time_zone,
    )


async def _define_redemption(connection: Connection, caller: Caller) -> None:
    """Give the tenant the action of redemptions, where it has none yet."""
    if await actions.seek(connection, caller, REDEMPTION) is None:
        await actions.insert(connection, caller, REDEMPTION, {"schema": REDEMPTION_SCHEMA})
        document = {"name": REDEMPTION, "schema": REDEMPTION_SCHEMA}
        await change_book(connection, caller, "action", REDEMPTION, document)


async def read_points(connection: Connection, caller: Caller) -> Collection[str]:
    """The currencies of points that the tenant has defined; POINTS is there without."""
    table = book_tables.points_currency.c
    found = await connection.execute(select(table.currency).where(table.tenant_id == caller.tenant_id))
    return frozenset(found.scalars())


async def read_levels(connection: Connection, caller: Caller) -> dict[str, Any]:
    """The names of the levels that rules read, by the attribute of users in which they do."""
    table = book_tables.ladder.c
    mine = (table.tenant_id == caller.tenant_id) & table.attribute.is_not(None) & ~table.leaving
    return {
        row.attribute: row.names for row in await connection.execute(select(table.attribute, table.names).where(mine))
    }


async def _find(connection: Connection, column: Column[str], names: Collection[str | None]) -> Collection[str]:
    """Those of the names that exist; a definition without any asks nothing."""
    wanted = [name for name in names if name]
    return frozenset((await connection.execute(select(column).where(column.in_(wanted)))).scalars() if wanted else ())


async def read_actions(connection: Connection, caller: Caller, names: Collection[str]) -> dict[str, Any]:
    """The JSON Schemas of those of the named actions that exist."""
    table = book_tables.action.c
    mine = (table.tenant_id == caller.tenant_id) & table.name.in_(names)
    rows = await connection.execute(select(table.name, table.schema).where(mine))
    return {row.name: row.schema for row in rows}


async def read_list_types(connection: Connection, caller: Caller) -> ObjectType:
    """What `lists` is to the checker: a field for each of the tenant's lists, by id."""
    table = book_tables.named_list.c
    statement = select(table.list_id, table.kind).where(table.tenant_id == caller.tenant_id).order_by(table.list_id)
    rows = await connection.execute(statement)
    return ObjectType(tuple(Field(row.list_id, ListOf(Scalar(Kind(row.kind), False), MAX_LIST_ITEMS)) for row in rows))
