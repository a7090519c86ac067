"""Which campaign a public code brings, as stored: the one that was launched with it."""

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from fillip.core.campaign.campaign import Campaign
from fillip.core.ports import Caller
from fillip.core.problem import Fault
from fillip.core.redemption import fold_code
from fillip.http.errors import refuse
from fillip.manage.campaign.postgres import select_campaigns
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.book import campaign, public_code

_code = public_code.c
_IS_HELD = (_code.tenant_id == campaign.c.tenant_id) & (_code.campaign_id == campaign.c.campaign_id)
_OVER = ("ended", "archived")


async def take_codes(connection: Connection, caller: Caller, campaign_id: str, definition: Campaign) -> None:
    """Make a launched campaign's codes its own, and no others. Call it under the tenant's lock.

    Raises DefinitionRefused where another has one and is not over; of one that is over a code is taken.
    """
    mine = {fold_code(code): index for index, code in enumerate(definition.codes)}
    if mine:
        others = select_campaigns(caller).add_columns(_code.folded).join(public_code, _IS_HELD)
        asked = others.where(_code.folded.in_(mine), _code.campaign_id != campaign_id)
        rows = [row for row in await connection.execute(asked) if row.shown not in _OVER]
        refuse(
            [
                Fault(
                    f"/codes/{mine[row.folded]}",
                    f"campaign '{row.campaign_id}' has this code, and is {row.shown}: end it, or take another code",
                )
                for row in rows
            ]
        )
    await drop_codes(connection, caller, campaign_id)
    for folded in sorted(mine):
        row = {"tenant_id": caller.tenant_id, "folded": folded, "campaign_id": campaign_id}
        taken = insert(public_code).values(row)
        await connection.execute(
            taken.on_conflict_do_update(index_elements=["tenant_id", "folded"], set_={"campaign_id": campaign_id})
        )


async def drop_codes(connection: Connection, caller: Caller, campaign_id: str) -> None:
    """Leave a campaign none."""
    mine = (_code.tenant_id == caller.tenant_id) & (_code.campaign_id == campaign_id)
    await connection.execute(delete(public_code).where(mine))


async def find_by_code(connection: Connection, caller: Caller, code: str) -> str | None:
    """The campaign that a code brings; None where it is nobody's."""
    mine = (_code.tenant_id == caller.tenant_id) & (_code.folded == fold_code(code))
    return (await connection.execute(select(_code.campaign_id).where(mine))).scalar_one_or_none()
