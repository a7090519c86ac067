"""Whether each reward of a campaign is what its kind wants, and all of them with their formulas go together."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from fillip.core.campaign.campaign import Campaign
from fillip.core.campaign.check_dates import check_dates
from fillip.core.campaign.formula import Formula
from fillip.core.campaign.reward import Reward
from fillip.core.campaign.reward_kind import KINDS
from fillip.core.campaign.vocabulary import Vocabulary
from fillip.core.problem import Fault


def check_rewards(campaign: Campaign, vocabulary: Vocabulary) -> list[Fault]:
    """All that is wrong with a campaign's rewards, each at its JSON pointer."""
    faults: list[Fault] = []
    for index, reward in enumerate(campaign.rewards):
        at, traits = f"/rewards/{index}", KINDS[reward.kind]
        if traits.list_currencies and not reward.value and reward.formula is None:
            # a grant of nothing would use up limits all the same
            message = f"a reward of {reward.kind} needs a value of 1 or more, or a formula"
            faults.append(Fault(f"{at}/value", message))
        faults += [
            *traits.check(reward, at, vocabulary),
            *_check_members(reward, at),
            *check_dates(reward, at, campaign.schedule, vocabulary),
        ]
    return [*faults, *_check_formulas(campaign), *_check_badges(campaign)]


def _check_members(reward: Reward, at: str) -> Iterator[Fault]:
    """Whether it has none of what goes with other kinds only."""
    for name in dict.fromkeys(name for traits in KINDS.values() for name in traits.members):
        if getattr(reward, name) and name not in KINDS[reward.kind].members:
            labels = " or ".join(traits.label for traits in KINDS.values() if name in traits.members)
            yield Fault(f"{at}/{name}", f"goes with {labels} only, this is of kind '{reward.kind}'")


def _check_formulas(campaign: Campaign) -> Iterator[Fault]:
    """Whether the parts of each reward's formula go together, and the events that earn it are of one action."""
    for index, reward in enumerate(campaign.rewards):
        if reward.formula is None:
            continue
        at = f"/rewards/{index}/formula"
        if reward.value:
            yield Fault(f"/rewards/{index}/value", "a reward has a value or a formula, not both")
        if campaign.quest and campaign.granting_action() is None:
            yield Fault(at, "an unordered quest may end with events of several actions: no formula can read them")
        yield from _check_formula(reward.formula, at)


def _check_formula(formula: Formula, at: str) -> Iterator[Fault]:
    percents = [formula.percent, *(tier.percent for tier in formula.tiers)]
    if formula.tiers and formula.percent is not None:
        yield Fault(f"{at}/percent", "goes without tiers: give each tier its own percent")
    if any(percents) and formula.rounding is None:
        yield Fault(f"{at}/rounding", "a percentage needs its rounding: half_even, half_up, down or up")
    if any(percent is not None and not Decimal(percent) for percent in percents):
        yield Fault(at, "0 percent gives nothing: leave it out")
    if formula.rounding and not any(percents):
        yield Fault(f"{at}/rounding", "goes with a percent only: all else is exact")
    lowest: int | None = None
    for index, tier in enumerate(formula.tiers):
        if (tier.value is None) == (tier.percent is None):
            yield Fault(f"{at}/tiers/{index}", "a tier gives either a value or a percent")
        if formula.max is not None and (tier.value or 0) > formula.max:
            yield Fault(f"{at}/tiers/{index}/value", f"above the formula's max, {formula.max}: it would never be given")
        if lowest is not None and tier.at_least <= lowest:
            yield Fault(f"{at}/tiers/{index}/at_least", f"must be above the tier before it, {lowest}")
        lowest = tier.at_least


def _check_badges(campaign: Campaign) -> Iterator[Fault]:
    """Whether no badge is given twice at once to the same user."""
    twice = set()
    for given in campaign.rewards_by_variant.values():
        badges = Counter(reward.badge for reward in given.values())
        twice |= {index for index, reward in given.items() if reward.badge and badges[reward.badge] > 1}
    for index, reward in enumerate(campaign.rewards):
        if index in twice:
            yield Fault(f"/rewards/{index}/badge", f"'{reward.badge}' twice: a user holds a badge once")
