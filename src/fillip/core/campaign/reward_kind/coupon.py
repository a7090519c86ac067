"""Coupons: with a code of a pool, or with a payload that says what they are."""

from collections.abc import Iterator

from fillip.core.campaign.reward import Reward
from fillip.core.campaign.reward_kind.traits import KindTraits, check_money
from fillip.core.campaign.vocabulary import Vocabulary
from fillip.core.problem import Fault


def _check(reward: Reward, at: str, vocabulary: Vocabulary) -> Iterator[Fault]:
    """Whether it says what it is, and its pool exists."""
    if not reward.pool and not reward.payload:
        yield Fault(f"{at}/pool", "a coupon needs a pool that its code comes from, or a payload that says what it is")
    if reward.pool and reward.pool not in vocabulary.pools:
        yield Fault(f"{at}/pool", f"unknown pool '{reward.pool}': make it first by /v1/coupon-pools")
    yield from check_money(reward, at, vocabulary)


TRAITS = KindTraits(
    label="a coupon",
    check=_check,
    members=("pool",),
    refusals={"pool_empty": "the pool of coupon codes had no free code"},
)
