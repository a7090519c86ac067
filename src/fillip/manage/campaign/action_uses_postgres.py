"""What uses an action: campaigns, limits, cohorts by events."""

from sqlalchemy import select

from fillip.core.ports import Caller
from fillip.manage.campaign.postgres import MAX_NAMED, list_naming
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.book import spending_limit
from fillip.manage.store.tables.cohort import cohort_rule


async def list_uses(connection: Connection, caller: Caller, name: str) -> list[str]:
    """What names an action and keeps it from being deleted, some of it where there is much."""
    campaigns = await list_naming(connection, caller, name, "$.action", "$.quest.*.action")
    found = [f"campaign {each}" for each in campaigns]
    for kind, table, id_column in (
        ("limit", spending_limit, spending_limit.c.limit_id),
        ("cohort", cohort_rule, cohort_rule.c.cohort_id),
    ):
        mine = select(id_column).where(table.c.tenant_id == caller.tenant_id, table.c.action == name)
        rows = await connection.execute(mine.order_by(id_column).limit(MAX_NAMED))
        found += [f"{kind} {each}" for each in rows.scalars()]
    return found
