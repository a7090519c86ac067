"""What saving a campaign checks of its conflicts: nothing contradictory, and a group whose members pick alike."""

from collections.abc import Iterable, Iterator

from sqlalchemy.ext.asyncio import AsyncConnection

from fillip.core.campaign.campaign import Campaign
from fillip.core.ports import Caller
from fillip.core.problem import Fault
from fillip.manage import tables
from fillip.manage.catalogue import read_definition, select_campaigns
from fillip.manage.saving import DefinitionRefused

_group = tables.campaign_version.c.definition[("exclusive", "group")].astext


async def check_conflict(
    connection: AsyncConnection, caller: Caller, campaign_id: str | None, campaign: Campaign
) -> None:
    """Whether the campaign's part in conflicts goes together, by itself and with its group.

    Call it under the tenant's lock. Raises DefinitionRefused with all faults.
    """
    faults = list(_check_alone(campaign))
    if campaign.exclusive:
        others = select_campaigns(caller).where(
            _group == campaign.exclusive.group,
            tables.campaign.c.state != "archived",
            tables.campaign.c.campaign_id != (campaign_id or ""),
        )
        row = (await connection.execute(others.order_by(tables.campaign.c.campaign_id).limit(1))).first()
        if row:  # the first stands for all: each was checked against it
            faults += _check_against(campaign, row.campaign_id, read_definition(row))
    if faults:
        raise DefinitionRefused(faults)


def check_kept(campaign: Campaign, kept: Iterable[Campaign]) -> None:
    """Whether values can be compared under the earlier versions in force too. Raises DefinitionRefused."""
    if campaign.exclusive is None or campaign.exclusive.pick == "priority":
        return
    if any(_list_units(version) != _list_units(campaign) for version in kept):
        message = "open instances are kept under a version that gives another kind or currency: migrate them"
        raise DefinitionRefused([Fault("/exclusive/pick", message)])


def _check_alone(campaign: Campaign) -> Iterator[Fault]:
    if campaign.exclusive is None:
        return
    if not campaign.stackable:
        yield Fault("/exclusive", "a campaign that is not stackable stands against all others: leave its group out")
    if campaign.exclusive.pick == "priority":
        return
    if len(_list_units(campaign)) > 1:
        yield Fault("/exclusive/pick", "values of several kinds or currencies can't be compared: pick by priority")
    if not all(reward.value or reward.formula for reward in campaign.rewards):
        yield Fault("/exclusive/pick", "a reward without a value can't be compared: pick by priority")


def _check_against(campaign: Campaign, other_id: str, other: Campaign) -> Iterator[Fault]:
    mine, theirs = campaign.exclusive, other.exclusive
    if mine is None or theirs is None:
        return
    if mine.pick != theirs.pick:
        message = (
            f"campaign '{other_id}' of group '{mine.group}' picks by {theirs.pick}: pick alike, or name another group"
        )
        yield Fault("/exclusive/pick", message)
    elif mine.pick == "value" and _list_units(campaign) != _list_units(other):
        message = (
            f"campaign '{other_id}' of group '{mine.group}' gives another kind or currency: values can't be compared"
        )
        yield Fault("/exclusive/group", message)


def _list_units(campaign: Campaign) -> set[tuple[str, str | None]]:
    return {(reward.kind, reward.currency) for reward in campaign.rewards}
