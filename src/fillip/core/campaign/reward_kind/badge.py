"""Badges: a user holds each one once, until it is reversed."""

from collections.abc import Iterator

from fillip.core.campaign.reward import Reward
from fillip.core.campaign.reward_kind.traits import KindTraits, check_money
from fillip.core.campaign.vocabulary import Vocabulary
from fillip.core.problem import Fault


def _check(reward: Reward, at: str, vocabulary: Vocabulary) -> Iterator[Fault]:
    """Whether the badge that it names exists."""
    if reward.badge and reward.badge not in vocabulary.badges:
        yield Fault(f"{at}/badge", f"unknown badge '{reward.badge}': make it first by /v1/badges")
    yield from check_money(reward, at, vocabulary)


TRAITS = KindTraits(
    label="a badge",
    check=_check,
    members=("badge",),
    refusals={"already_held": "the user held the badge already"},
)
