"""What a definition may say, and seldom means: it grants less than it seems to. Quests have more of that, see core.quest.check_route."""

from collections.abc import Iterator, Mapping

from fillip.core.campaign.campaign import Campaign
from fillip.core.campaign.reward import Reward
from fillip.core.limit import Limit
from fillip.core.problem import Fault


def list_seldom_meant(campaign: Campaign) -> Iterator[Fault]:
    """Limits under which no grant fits, and rewards that are over before the campaign is, each at its JSON pointer."""
    for index, limit in enumerate(campaign.list_limits("", {})):
        leasts = [count_least(limit, given) for given in campaign.rewards_by_variant.values()]
        least = min((each for each in leasts if each), default=0)
        if least > limit.cap:
            cure = ", or say over: partial" if limit.measure == "value" and limit.over == "refuse" else ""
            message = (
                f"no grant that it counts fits: each takes {least} or more, and the cap is {limit.cap}; raise it{cure}"
            )
            yield Fault(f"/limits/{index}/cap", message)
    ends_at = campaign.schedule.ends_at
    for index, reward in enumerate(campaign.rewards):
        if reward.expires_at and (ends_at is None or ends_at > reward.expires_at):
            until = "has no end" if ends_at is None else "ends later"
            message = f"the campaign {until}: from then on all that it would grant is denied as expired; end it with the reward"
            yield Fault(f"/rewards/{index}/expires_at", message)


def count_least(limit: Limit, rewards: Mapping[int, Reward]) -> int:
    """The least that a grant of these rewards could take from a limit that it falls under."""
    if limit.measure == "count":
        return sum(reward.pool == limit.pool for reward in rewards.values()) if limit.pool else 1
    counted = [reward for reward in rewards.values() if limit.adds_up(reward.kind, reward.currency)]
    if limit.over == "partial":
        return len(counted)
    return sum(1 if reward.formula else reward.value for reward in counted)
