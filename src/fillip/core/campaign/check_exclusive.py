"""What a campaign's exclusivity must be: nothing contradictory, and a group whose members pick alike."""

from collections.abc import Iterable, Iterator

from fillip.core.campaign.campaign import Campaign
from fillip.core.problem import Fault


def find_retained_faults(campaign: Campaign, retained: Iterable[Campaign]) -> Iterator[Fault]:
    """Values that can't be compared with those of the earlier versions in force."""
    if campaign.exclusive is None or campaign.exclusive.pick == "priority":
        return
    if any(_list_units(version) != _list_units(campaign) for version in retained):
        message = "open instances are kept under a version that gives another kind or currency: migrate them"
        yield Fault("/exclusive/pick", message)


def find_own_faults(campaign: Campaign) -> Iterator[Fault]:
    """What of its own exclusivity contradicts itself."""
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


def find_group_faults(campaign: Campaign, other_id: str, other: Campaign) -> Iterator[Fault]:
    """Where it does not pick as another campaign of its group does."""
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
