"""What saving a campaign checks of its rewards of points."""

from collections.abc import Collection, Iterator

from fillip.core.incentive import Reward
from fillip.core.problem import Fault
from fillip.core.wallet import POINTS


def check_points(reward: Reward, at: str, currencies: Collection[str]) -> Iterator[Fault]:
    """Whether points are in a currency of theirs and can be spent some time; `at` is the reward's JSON pointer."""
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
