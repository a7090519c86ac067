"""Whether the limits of a campaign's definition go together, and with what the campaign gives."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from msgspec.structs import replace

from fillip.core.campaign.campaign import Campaign
from fillip.core.campaign.check_limit import (
    check_key_action,
    check_limit,
    check_limit_currency,
    counts_amounts,
    fill_limit_currency,
)
from fillip.core.limit import Limit
from fillip.core.problem import Fault

_CHANGING = frozenset({"cap", "key_checked"})


def fill_limit_currencies(campaign: Campaign) -> Campaign:
    """The campaign with the currency written into each limit that adds up one, where its rewards have but one."""
    limits = []
    for each, limit in zip(campaign.limits, campaign.list_limits("", {}), strict=True):
        limits.append(replace(each, currency=fill_limit_currency(limit, _list_given(campaign, limit)).currency))
    return replace(campaign, limits=tuple(limits)) if limits else campaign


def check_campaign_limits(campaign: Campaign) -> Iterator[Fault]:
    """All that contradicts itself in a campaign's limits, or would never count, each at its JSON pointer."""
    names = Counter(each.name for each in campaign.limits)
    for index, (each, limit) in enumerate(zip(campaign.limits, campaign.list_limits("", {}), strict=True)):
        at = f"/limits/{index}"
        if names[each.name] > 1:
            yield Fault(f"{at}/name", f"two limits are called '{each.name}'")
        found = [*check_limit(limit), *_check_counted(limit, campaign), *_check_action(limit, campaign)]
        yield from (Fault(at + fault.at, fault.message) for fault in found)


def check_limits_change(before: Mapping[str, Limit], after: Iterable[Limit]) -> list[Fault]:
    """What of the limits of a launched campaign can't change: all but the cap. `before` has them by id."""
    faults = []
    for index, limit in enumerate(after):
        old = before.get(limit.limit_id, limit)
        for name in Limit.__struct_fields__:
            if name not in _CHANGING and getattr(old, name) != getattr(limit, name):
                message = f"can't change from '{getattr(old, name)}': of a launched limit only the cap changes, give another one another name"
                faults.append(Fault(f"/limits/{index}/{name}", message))
    return faults


def check_limit_keys(campaign: Campaign, campaign_id: str, retained: Mapping[int, Campaign]) -> list[Fault]:
    """Where a key can't be read from what earlier versions in force, by their number, grant on."""
    keyed = ((index, each) for index, each in enumerate(campaign.list_limits(campaign_id, {})) if each.key)
    found = ((index, check_key_action(limit, campaign, retained)) for index, limit in keyed)
    return [Fault(f"/limits/{index}{fault.at}", fault.message) for index, faults in found for fault in faults]


def _list_given(campaign: Campaign, limit: Limit) -> list[str]:
    """The currencies of the rewards whose values a limit adds up."""
    if not counts_amounts(limit):
        return []
    return sorted({each.currency for each in campaign.rewards if each.kind == limit.reward_kind and each.currency})


def _check_counted(limit: Limit, campaign: Campaign) -> Iterator[Fault]:
    if limit.reward_kind and all(each.kind != limit.reward_kind for each in campaign.rewards):
        yield Fault("/reward_kind", f"no reward is of kind '{limit.reward_kind}': the limit would never count")
    elif limit.pool and all(each.pool != limit.pool for each in campaign.rewards):
        yield Fault("/pool", f"no reward gives codes of pool '{limit.pool}': the limit would never count")
    else:
        yield from check_limit_currency(limit, _list_given(campaign, limit))


def _check_action(limit: Limit, campaign: Campaign) -> Iterator[Fault]:
    granting = campaign.granting_action()
    if limit.key and campaign.quest and granting is None:
        yield Fault("/key", "an unordered quest may end with events of several actions: no key can be read")
        return
    steps = campaign.quest.steps if campaign.quest else ()
    actions = {granting} if granting else {step.action for step in steps}
    if limit.action and actions and limit.action not in actions:
        told = " or ".join(f"'{each}'" for each in sorted(actions))
        yield Fault("/action", f"the campaign grants on {told}: the limit would never count")
