"""Users as stored, with the time zone of their own: every write counts the bytes by which their attributes have grown or shrunk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, structs
from sqlalchemy import (
    BigInteger,
    BindParameter,
    Integer,
    Row,
    TableValuedAlias,
    Text,
    bindparam,
    column,
    delete,
    func,
    literal_column,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, array, insert
from sqlalchemy.sql.elements import ColumnElement

from fillip.core.ports import Caller
from fillip.manage.object.postgres import Objects
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.tenant import end_user
from fillip.manage.tenant.postgres import count_bytes

users = Objects(end_user, "user_id", "there is no user {}")
_GROWN: ColumnElement[int] = literal_column(
    "coalesce(octet_length(new.attributes::text), 0) - coalesce(octet_length(old.attributes::text), 0)", Integer
).label("grown")
"""Of a statement that writes users, in RETURNING: by how many bytes of JSON one has grown."""
_UPSERT = text(Path(__file__).with_name("upsert_users.sql").read_text(encoding="utf-8")).bindparams(
    bindparam("user_ids", type_=ARRAY(Text)),
    bindparam("attributes", type_=ARRAY(Text)),
    bindparam("time_zones", type_=ARRAY(Text)),
)


def select_seen(tenant_id: BindParameter[str], user_id: BindParameter[str]) -> TableValuedAlias:
    """What rules know of a user now: attributes, with levels, their revision and the time zone; no row of one of whom nothing is known."""
    named = func.read_users(array[Any]([tenant_id]), array[Any]([user_id]))
    columns = column("revision", BigInteger), column("attributes", JSONB), column("time_zone", Text)
    return named.table_valued(column("tenant_id", Text), column("user_id", Text), *columns)


class UserState(Struct, frozen=True):
    """What a tenant says of a user: attributes, and an IANA time zone where it is not the tenant's."""

    attributes: Mapping[str, object]
    time_zone: str | None = None


async def insert_user(connection: Connection, caller: Caller, user_id: str, state: UserState) -> Row[Any] | None:
    """Store a new user; None where the user is there already. Raises QuotaExceeded."""
    new = {"tenant_id": caller.tenant_id, "user_id": user_id, **structs.asdict(state)}
    added = insert(end_user).values(new).on_conflict_do_nothing().returning(*end_user.c, _GROWN)
    row = (await connection.execute(added)).one_or_none()
    if row is not None:
        await _count_grown(connection, caller, row.grown)
    return row


async def change_user(connection: Connection, caller: Caller, user_id: str, state: UserState) -> Row[Any]:
    """Replace what is said of a user; raises QuotaExceeded."""
    values = {**structs.asdict(state), "revision": end_user.c.revision + 1, "updated_at": func.now()}
    statement = update(end_user).where(*_is_same(caller, user_id)).values(values).returning(*end_user.c, _GROWN)
    row = (await connection.execute(statement)).one()
    await _count_grown(connection, caller, row.grown)
    return row


async def upsert_users(connection: Connection, caller: Caller, states: Mapping[str, UserState]) -> set[str]:
    """Store what is said of each user, in the order of the ids (so that two bulks can't deadlock); the ids that are new.

    Raises QuotaExceeded.
    """
    given = {
        "tenant_id": caller.tenant_id,
        "user_ids": sorted(states),
        "attributes": [msgspec.json.encode(states[user_id].attributes).decode() for user_id in sorted(states)],
        "time_zones": [states[user_id].time_zone for user_id in sorted(states)],
    }
    rows = (await connection.execute(_UPSERT, given)).all()
    await _count_grown(connection, caller, sum(row.grown for row in rows))
    return {row.user_id for row in rows if row.created}


async def delete_user(connection: Connection, caller: Caller, user_id: str) -> None:
    """Delete a user's attributes."""
    removed = delete(end_user).where(*_is_same(caller, user_id)).returning(_GROWN)
    await _count_grown(connection, caller, (await connection.execute(removed)).scalar_one())


async def _count_grown(connection: Connection, caller: Caller, grown: int) -> None:
    await count_bytes(connection, caller.tenant_id, grown, caller.quotas.stored_bytes)


def _is_same(caller: Caller, user_id: str) -> tuple[Any, Any]:
    return end_user.c.tenant_id == caller.tenant_id, end_user.c.user_id == user_id
