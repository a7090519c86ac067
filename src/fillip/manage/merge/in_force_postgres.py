"""Workers ask who users are by now from a version of the tenant's book on, and that is in force before its first user is merged."""

from sqlalchemy import update

from fillip.core.errors import Retry
from fillip.core.ports import Caller
from fillip.manage.book.in_force import await_force
from fillip.manage.book.postgres import change_book
from fillip.manage.store.postgres import Connection, Engine
from fillip.manage.store.tables.tenant import tenant
from fillip.manage.tenant.postgres import describe_tenant, find_tenant, hold_tenant


async def let_workers_ask(connection: Connection, caller: Caller) -> int:
    """Since which version of the book they ask; the next one, where they do not: it is in force some time after the commit."""
    since: int | None = (await find_tenant(connection, caller.tenant_id)).merged_since
    if since is not None:
        return since
    row = await hold_tenant(connection, caller.tenant_id)
    if row.merged_since is None:
        since = await change_book(connection, caller, "tenant", row.tenant_id, describe_tenant(row), growing=False)
        mine = update(tenant).where(tenant.c.tenant_id == row.tenant_id)
        await connection.execute(mine.values(merged_since=since))
        return since
    return int(row.merged_since)


async def require_asking(engine: Engine, caller: Caller, since: int) -> None:
    """Return once every worker that lives asks. Raises Retry where one does not in time: nobody may be merged yet."""
    if not await await_force(engine, caller, since):
        raise Retry(
            "a worker does not know yet that users of this tenant may be merged; nothing has changed: try again"
        )
