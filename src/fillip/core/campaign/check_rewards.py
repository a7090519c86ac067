"""Whether the rewards of a campaign go together: points, coupons, badges and formulas."""

from collections import Counter
from collections.abc import Collection, Iterator
from decimal import Decimal

from fillip.core.campaign.campaign import Campaign
from fillip.core.campaign.formula import Formula
from fillip.core.campaign.reward import POINTS, Reward
from fillip.core.campaign.vocabulary import Vocabulary
from fillip.core.problem import Fault


def check_rewards(campaign: Campaign, vocabulary: Vocabulary) -> list[Fault]:
    """All that is wrong with a campaign's rewards, each at its JSON pointer."""
    faults: list[Fault] = []
    for index, reward in enumerate(campaign.rewards):
        at = f"/rewards/{index}"
        faults += [*_check_worth(reward, at), *_check_points(reward, at, vocabulary.points)]
        faults += [*_check_piece(reward, at, vocabulary.pools, vocabulary.badges)]
        if reward.kind != "points" and reward.currency not in (None, vocabulary.currency):
            message = f"must be the tenant's, {vocabulary.currency}: its money is of one currency"
            faults.append(Fault(f"{at}/currency", message))
    return [*faults, *_check_formulas(campaign), *_check_badges(campaign)]


def _check_worth(reward: Reward, at: str) -> Iterator[Fault]:
    """Whether it is worth anything: a grant of nothing would use up limits all the same."""
    if reward.kind in ("points", "cashback") and not reward.value and reward.formula is None:
        yield Fault(f"{at}/value", f"a reward of {reward.kind} needs a value of 1 or more, or a formula")
    if reward.kind == "coupon" and not reward.pool and not reward.payload:
        yield Fault(f"{at}/pool", "a coupon needs a pool that its code comes from, or a payload that says what it is")


def _check_points(reward: Reward, at: str, currencies: Collection[str]) -> Iterator[Fault]:
    """Whether points are in a currency of theirs and can be spent some time."""
    if reward.kind != "points":
        if reward.pending_for_s:
            yield Fault(f"{at}/pending_for_s", f"goes with points only, this is of kind '{reward.kind}'")
        return
    if reward.currency not in (None, POINTS, *currencies):
        yield Fault(
            f"{at}/currency", f"unknown currency of points '{reward.currency}': PUT /v1/points/{reward.currency}"
        )
    if reward.pending_for_s and reward.expires_after_s and reward.expires_after_s <= reward.pending_for_s:
        yield Fault(f"{at}/expires_after_s", "the points would expire before they can be spent: raise it")


def _check_piece(reward: Reward, at: str, pools: Collection[str], badges: Collection[str]) -> Iterator[Fault]:
    """Whether a pool goes with a coupon, a badge with a badge, and both exist."""
    for name, wanted, kind, known, where in (
        ("pool", reward.pool, "coupon", pools, "/v1/coupon-pools"),
        ("badge", reward.badge, "badge", badges, "/v1/badges"),
    ):
        if wanted and reward.kind != kind:
            yield Fault(f"{at}/{name}", f"goes with a {kind} only, this is of kind '{reward.kind}'")
        elif wanted and wanted not in known:
            yield Fault(f"{at}/{name}", f"unknown {name} '{wanted}': make it first by {where}")


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
        yield from _check_tiers(reward.formula, f"{at}/tiers")


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


def _check_tiers(formula: Formula, at: str) -> Iterator[Fault]:
    lowest: int | None = None
    for index, tier in enumerate(formula.tiers):
        if (tier.value is None) == (tier.percent is None):
            yield Fault(f"{at}/{index}", "a tier gives either a value or a percent")
        if lowest is not None and tier.at_least <= lowest:
            yield Fault(f"{at}/{index}/at_least", f"must be above the tier before it, {lowest}")
        lowest = tier.at_least


def _check_badges(campaign: Campaign) -> Iterator[Fault]:
    """Whether no badge is given twice at once."""
    badges = Counter(reward.badge for reward in campaign.rewards if reward.badge)
    for index, reward in enumerate(campaign.rewards):
        if reward.badge and badges[reward.badge] > 1:
            yield Fault(f"/rewards/{index}/badge", f"'{reward.badge}' twice: a user holds a badge once")
