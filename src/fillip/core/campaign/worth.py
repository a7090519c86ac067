"""What rewards are worth beside each other, where they have to be put in order."""

from collections.abc import Iterable
from typing import TypeAlias

from fillip.core.campaign.reward import Reward
from fillip.core.campaign.reward_kind import KINDS

Worth: TypeAlias = tuple[int, int, int]
"""Money in minor units, then points of any currency, then how many other rewards; as negative numbers, so that most comes first."""


def weigh_rewards(given: Iterable[tuple[Reward, int]]) -> Worth:
    """The worth of rewards with these values together. No kind is ever changed into another: one cent comes before all points."""
    money = points = others = 0
    for reward, value in given:
        traits = KINDS[reward.kind]
        if traits.list_currencies is None:
            others += 1
        elif traits.wallet:
            points += value
        else:
            money += value
    return -money, -points, -others
