"""Badges as stored, and the shelf of each user."""

from sqlalchemy import select

from fillip.core.ports import Caller
from fillip.http.paging import Paging
from fillip.manage.campaign.postgres import list_naming
from fillip.manage.object.postgres import Objects
from fillip.manage.store.keyset import RowPage, read_page
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.book import badge
from fillip.manage.store.tables.ledger import badge_held

badges = Objects(badge, "badge_id", "there is no badge {}")


async def list_uses(connection: Connection, caller: Caller, badge_id: str) -> list[str]:
    """What names a badge and keeps it from being deleted, some of it where there is much."""
    return [f"campaign {each}" for each in await list_naming(connection, caller, badge_id, "$.rewards[*].badge")]


async def list_held(connection: Connection, caller: Caller, user_id: str, pages: Paging) -> RowPage:
    """A page of the badges that a user holds, by id, with what each shows."""
    shown = [badge.c.name, badge.c.description, badge.c.image_url]
    statement = (
        select(badge_held.c.badge_id, badge_held.c.incentive_id, badge_held.c.held_at, *shown)
        .join(badge, (badge.c.tenant_id == badge_held.c.tenant_id) & (badge.c.badge_id == badge_held.c.badge_id))
        .where(badge_held.c.tenant_id == caller.tenant_id, badge_held.c.user_id == user_id)
    )
    return await read_page(connection, statement, [badge_held.c.badge_id], pages)
