"""Whether a campaign's exclusivity goes together: nothing contradictory, and a group whose members pick alike."""

from collections.abc import Iterable

from fillip.core.campaign.campaign import Campaign
from fillip.core.problem import Fault


def check_exclusive(campaign: Campaign) -> list[Fault]:
    """What of a campaign's own exclusivity contradicts itself."""
    if campaign.exclusive is None:
        return []
    by_value, like = campaign.exclusive.pick == "value", len(_list_units(campaign)) == 1
    valued = all(reward.value or reward.formula for reward in campaign.rewards)
    looks = (
        (campaign.stackable, "", "a campaign that is not stackable stands against all others: leave its group out"),
        (like or not by_value, "/pick", "values of several kinds or currencies can't be compared: pick by priority"),
        (valued or not by_value, "/pick", "a reward without a value can't be compared: pick by priority"),
    )
    return [Fault(f"/exclusive{at}", message) for passed, at, message in looks if not passed]


def check_group(campaign: Campaign, other_id: str, other: Campaign) -> list[Fault]:
    """Where a campaign does not pick as another one of its group does."""
    mine, theirs = campaign.exclusive, other.exclusive
    if mine is None or theirs is None:
        return []
    one = f"campaign '{other_id}' of group '{mine.group}'"
    if mine.pick != theirs.pick:
        return [Fault("/exclusive/pick", f"{one} picks by {theirs.pick}: pick alike, or name another group")]
    if mine.pick == "value" and _list_units(campaign) != _list_units(other):
        return [Fault("/exclusive/group", f"{one} gives another kind or currency: values can't be compared")]
    return []


def check_retained(campaign: Campaign, retained: Iterable[Campaign]) -> list[Fault]:
    """Whether a campaign's values can be compared with those of its earlier versions in force."""
    if campaign.exclusive is None or campaign.exclusive.pick == "priority":
        return []
    if all(_list_units(version) == _list_units(campaign) for version in retained):
        return []
    message = "open instances are kept under a version that gives another kind or currency: migrate them"
    return [Fault("/exclusive/pick", message)]


def _list_units(campaign: Campaign) -> set[tuple[str, str | None]]:
    return {(reward.kind, reward.currency) for reward in campaign.rewards}
