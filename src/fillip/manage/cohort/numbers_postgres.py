"""The numbers of some users, of whom those without one get theirs where a list is to name them."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Row, Text

from fillip.core.ports import Caller
from fillip.http.errors import QuotaExceeded
from fillip.manage.cohort.statement_postgres import Kinds, load_statement
from fillip.manage.store.postgres import Connection

_KINDS: Kinds = {"tenant_id": Text(), "users": ARRAY(Text()), "first": BigInteger()}
_load = partial(load_statement, kinds=_KINDS)
_FIND, _HOLD, _GIVE = _load("find_numbers"), _load("hold_numbering"), _load("give_numbers")


async def find_numbers(connection: Connection, caller: Caller, users: Sequence[str]) -> dict[str, int]:
    """The numbers of these users, as far as they have one."""
    given = {"tenant_id": caller.tenant_id, "users": users}
    return _read_numbers(await connection.execute(_FIND, given)) if users else {}


async def number_ids(
    connection: Connection, caller: Caller, users: Sequence[str], *, growing: bool = True
) -> dict[str, int]:
    """The numbers of users, of whom those without one get the next. Raises QuotaExceeded, unless for who takes another's place (not `growing`)."""
    found = await find_numbers(connection, caller, users)
    if any(user not in found for user in users):
        first = (await connection.execute(_HOLD, {"tenant_id": caller.tenant_id})).scalar_one()
        found |= await find_numbers(connection, caller, [user for user in users if user not in found])
        if new := [user for user in users if user not in found]:
            if growing and first + len(new) > caller.quotas.listed_users:
                raise QuotaExceeded("listed_users", caller.quotas.listed_users, first, len(new))
            given = {"tenant_id": caller.tenant_id, "users": new, "first": first}
            found |= _read_numbers(await connection.execute(_GIVE, given))
    return found


def _read_numbers(rows: Iterable[Row[Any]]) -> dict[str, int]:
    return {row.user_id: row.number for row in rows}
