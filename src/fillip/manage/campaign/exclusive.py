"""What saving a campaign checks of its conflicts: nothing contradictory, and a group whose members pick alike."""

from sqlalchemy.ext.asyncio import AsyncConnection

from fillip.core.campaign.campaign import Campaign
from fillip.core.campaign.check_exclusive import check_exclusive, check_group
from fillip.core.ports import Caller
from fillip.http.errors import refuse
from fillip.manage.campaign.postgres import read_definition, select_campaigns
from fillip.manage.store import tables

_group = tables.campaign_version.c.definition[("exclusive", "group")].astext


async def check_conflict(
    connection: AsyncConnection, caller: Caller, campaign_id: str | None, campaign: Campaign
) -> None:
    """Whether the campaign's part in conflicts goes together, by itself and with its group.

    Call it under the tenant's lock. Raises DefinitionRefused with all faults.
    """
    faults = check_exclusive(campaign)
    if campaign.exclusive:
        others = select_campaigns(caller).where(
            _group == campaign.exclusive.group,
            tables.campaign.c.state != "archived",
            tables.campaign.c.campaign_id != (campaign_id or ""),
        )
        row = (await connection.execute(others.order_by(tables.campaign.c.campaign_id).limit(1))).first()
        if row:  # the first stands for all: each was checked against it
            faults += check_group(campaign, row.campaign_id, read_definition(row))
    refuse(faults)
