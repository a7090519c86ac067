"""Named lists as stored, what they hold and held, and who reads them."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import cast, func, insert, select
from sqlalchemy.dialects.postgresql import JSONPATH, distinct_on

from fillip.core.limit import Limit
from fillip.core.named_list import NamedList
from fillip.core.ports import Caller
from fillip.core.rule import decode_rule, find_lists
from fillip.manage.campaign.postgres import IS_IN_FORCE
from fillip.manage.limit.postgres import list_keyed
from fillip.manage.object.postgres import Objects
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables import book as book_tables

lists = Objects(book_tables.named_list, "list_id", "there is no list {}")
MAX_READERS = 20
_version = book_tables.named_list_version.c
_items = _version["items"]  # .items is a method of all columns


async def add_version(
    connection: Connection, caller: Caller, list_id: str, version: int, items: Sequence[object]
) -> None:
    """Keep what a list holds from `version` of the book on."""
    values = {"tenant_id": caller.tenant_id, "list_id": list_id, "version": version, "items": items}
    await connection.execute(insert(book_tables.named_list_version).values(values))


async def read_items(connection: Connection, caller: Caller, list_id: str, version: int) -> list[Any]:
    """The items that came into force with a version of the book."""
    mine = (_version.tenant_id == caller.tenant_id) & (_version.list_id == list_id) & (_version.version == version)
    items: list[Any] = (await connection.execute(select(_items).where(mine))).scalar_one()
    return items


async def read_lists(
    connection: Connection, caller: Caller, list_ids: Collection[str], book_version: int | None = None
) -> dict[str, NamedList]:
    """The lists of these ids as they were at a version of the book, or as they are (None)."""
    if not list_ids:
        return {}
    known = [_version.tenant_id == caller.tenant_id, _version.list_id.in_(list_ids)]
    if book_version is not None:
        known.append(_version.version <= book_version)
    newest = select(_version.list_id, _version.version, _items).ext(distinct_on(_version.list_id)).where(*known)
    rows = await connection.execute(newest.order_by(_version.list_id, _version.version.desc()))
    return {row.list_id: NamedList(row.version, row.items) for row in rows}


async def find_readers(connection: Connection, caller: Caller, list_id: str) -> list[str]:
    """The campaigns, archived ones aside, and limits whose expressions read a list: some of them where there are many."""
    campaign, version = book_tables.campaign.c, book_tables.campaign_version.c
    path = cast("$.*.uses_lists[*] ? (@ == $list_id)", JSONPATH)
    reads = func.jsonb_path_exists(version.checked, path, func.jsonb_build_object("list_id", list_id))
    mine = [campaign.tenant_id == caller.tenant_id, campaign.state != "archived", reads]
    statement = select(campaign.campaign_id).join(book_tables.campaign_version, IS_IN_FORCE).where(*mine).distinct()
    found = await connection.execute(statement.order_by(campaign.campaign_id).limit(MAX_READERS))
    limits = [limit for limit in await list_keyed(connection, caller) if list_id in find_key_lists([limit])]
    return [f"campaign {name}" for name in found.scalars()] + [
        f"limit {limit.limit_id}" for limit in limits[:MAX_READERS]
    ]


def find_key_lists(limits: Iterable[Limit]) -> set[str]:
    """The ids of the lists that the keys of limits read."""
    return {
        list_id
        for limit in limits
        if limit.key_checked and "lists" in (limit.key or "")  # most name none, and need not be decoded
        for list_id in find_lists(decode_rule(limit.key_checked).root)
    }
