"""Points: an amount in the user's wallet, where they are pending for a time, spent and expire."""

from collections.abc import Iterator

from fillip.core.campaign.reward import POINTS, Reward
from fillip.core.campaign.reward_kind.traits import KindTraits
from fillip.core.campaign.vocabulary import Vocabulary
from fillip.core.problem import Fault


def _check(reward: Reward, at: str, vocabulary: Vocabulary) -> Iterator[Fault]:
    """Whether they are in a currency of theirs."""
    if reward.currency not in (None, POINTS, *vocabulary.points):
        yield Fault(
            f"{at}/currency", f"unknown currency of points '{reward.currency}': PUT /v1/points/{reward.currency}"
        )


TRAITS = KindTraits(
    label="points",
    check=_check,
    members=("pending_for_s", "available_at", "available"),
    list_currencies=lambda money, points: (POINTS, *points),
    wallet=POINTS,
    unclaimable="points are in the user's wallet: spend them there",
)
