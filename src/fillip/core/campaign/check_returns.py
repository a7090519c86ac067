"""Whether what the rewards of a campaign say of returns in part goes together."""

from collections.abc import Iterator, Mapping

from fillip.core.campaign.campaign import Campaign, CheckedExpression
from fillip.core.campaign.expression import name_path
from fillip.core.campaign.reward_kind import KINDS
from fillip.core.problem import Fault


def check_returns(campaign: Campaign) -> Iterator[Fault]:
    """All that is wrong with it but for what expressions read."""
    for index, reward in enumerate(campaign.rewards):
        at = f"/rewards/{index}/on_partial"
        if reward.on_partial is None:
            continue
        if campaign.quest:
            message = (
                "goes with a SIMPLE campaign only: a quest counts anew what a return leaves of its events, and its reward"
                " goes, in whole, when it is no longer complete; leave it out"
            )
            yield Fault(at, message)
        elif reward.on_partial == "prorate" and not KINDS[reward.kind].list_currencies:
            yield Fault(at, f"{KINDS[reward.kind].label} can't be divided: say keep or reevaluate")
        elif reward.on_partial == "reevaluate" and reward.formula is None and campaign.rule.strip() == "true":
            message = (
                "nothing could change: the rule is true and the value fixed; give a rule that reads the event, or a formula,"
                " or say keep or prorate"
            )
            yield Fault(at, message)


def check_reevaluated(campaign: Campaign, checked: Mapping[str, CheckedExpression]) -> Iterator[Fault]:
    """Whether what is asked again reads only what a decision keeps; `checked` has each expression by its path."""
    for index, reward in enumerate(campaign.rewards):
        if reward.on_partial == "reevaluate":
            asked = [name_path("rule"), *([name_path("formula", index)] if reward.formula else [])]
            for path in asked:
                if checked[path].uses_cohorts:
                    message = (
                        "a reward that is asked for again (on_partial: reevaluate) can't go by 'cohorts', which no decision keeps:"
                        " name them in the campaign's cohorts"
                    )
                    yield Fault("/" + path.replace(".", "/"), message)
