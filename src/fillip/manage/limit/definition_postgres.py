"""Limits within a campaign's definition, as they come into force with its versions: in the transaction that makes the version."""

from collections.abc import Mapping, Sequence

from sqlalchemy import select

from fillip.core.campaign.campaign_limit import name_limit
from fillip.core.campaign.check_campaign_limits import check_limits_change
from fillip.core.errors import Retry
from fillip.core.limit import Limit
from fillip.core.ports import Caller
from fillip.core.problem import Fault
from fillip.http.errors import refuse
from fillip.manage.book.postgres import hold_limits
from fillip.manage.limit import postgres
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.book import spending_limit

_limit = spending_limit.c


async def hold_changing(connection: Connection, caller: Caller, campaign_id: str, caps: Mapping[str, int]) -> bool:
    """Keep batches from deciding by the caller's limits where those of a campaign's definition in force have others than
    these `caps` by id. Whether they are held. Call it before anything is locked; raises Retry as hold_limits does.
    """
    changes = any(
        caps.get(limit_id) != limit.cap
        for limit_id, limit in (await _list_own(connection, caller, campaign_id)).items()
    )
    if changes:
        await hold_limits(connection, caller)
    return changes


async def put_in_force(
    connection: Connection, caller: Caller, campaign_id: str, wanted: Sequence[Limit], *, held: bool = False
) -> None:
    """Make these the limits of a launched campaign's definition: new ones are added, caps changed, others deleted.

    Call it under the tenant's lock, and before the campaign's version is announced. `held`: see hold_changing. Raises DefinitionRefused for what
    can't change, Conflict where there are too many, and Retry where another change came between.
    """
    known = await _list_own(connection, caller, campaign_id)
    refuse(check_limits_change(known, wanted))
    added = [limit for limit in wanted if limit.limit_id not in known]
    changed = [limit for limit in wanted if limit.limit_id in known and limit.cap != known[limit.limit_id].cap]
    left = known.keys() - {limit.limit_id for limit in wanted}
    if (changed or left) and not held:
        raise Retry(f"campaign '{campaign_id}' was changed meanwhile: try again")
    await postgres.require_limits(connection, caller, len(added) - len(left))
    for limit_id in sorted(left):
        if await postgres.has_counted(connection, caller, limit_id):
            name = limit_id.removeprefix(name_limit(campaign_id, ""))
            message = f"limit '{name}' has counted grants, which must stay provable: keep it, and raise its cap instead"
            refuse([Fault("/limits", message)])
        await postgres.remove_limit(connection, caller, limit_id)
    for limit in changed:
        await postgres.save_limit(connection, caller, limit)
    for limit in added:
        await postgres.add_limit(connection, caller, limit, in_definition=True)


async def _list_own(connection: Connection, caller: Caller, campaign_id: str) -> dict[str, Limit]:
    mine = [_limit.tenant_id == caller.tenant_id, _limit.campaign_id == campaign_id, _limit.in_definition]
    rows = await connection.execute(select(spending_limit).where(*mine))
    return {row.limit_id: postgres.read_limit(row) for row in rows}
