"""What a grant needs besides room under its limits: free coupon codes, and badges that the user does not hold yet."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping

from fillip.core.campaign.reward import Reward
from fillip.core.campaign.reward_kind.traits import StockRefusal

PoolKey = tuple[str, str]
"""(tenant, pool)"""
BadgeKey = tuple[str, str, str]
"""(tenant, user, badge)"""
WantedRewards = tuple[str, str, Mapping[int, Reward]]
"""(tenant, user, rewards by their index): what one grant request would give"""


class Stock:
    """The free codes that this batch has locked, and the shelves of its users; what is granted is taken from both."""

    def __init__(self, codes: Mapping[PoolKey, Iterable[str]], held: Iterable[BadgeKey]) -> None:
        """`codes` are free ones by pool (at least as many as the batch wants, or all that there are)."""
        self._codes = {pool: deque(found) for pool, found in codes.items()}
        self._held = set(held)

    def refuse(self, wanted: WantedRewards) -> StockRefusal | None:
        """`pool_empty`, `already_held`, or None when all the rewards can be given."""
        if any(count > len(self._codes.get(pool, ())) for pool, count in count_codes([wanted]).items()):
            return "pool_empty"
        return "already_held" if self._held & list_badges([wanted]) else None

    def put_back(self, badge: BadgeKey) -> None:
        """Take a badge off its shelf: it can be earned again. A code was shown, and is never given again."""
        self._held.discard(badge)

    def take(self, wanted: WantedRewards) -> dict[int, str]:
        """Take what is granted; the code of each reward that has one, by its index. Only after `refuse` gave None."""
        tenant, _, rewards = wanted
        self._held |= list_badges([wanted])
        return {i: self._codes[tenant, reward.pool].popleft() for i, reward in rewards.items() if reward.pool}


def count_codes(wanted: Iterable[WantedRewards]) -> Counter[PoolKey]:
    """How many codes of each pool it would take to give all of this."""
    return Counter((tenant, reward.pool) for tenant, _, rewards in wanted for reward in rewards.values() if reward.pool)


def list_badges(wanted: Iterable[WantedRewards]) -> set[BadgeKey]:
    """The badges that would be given, each to whom."""
    given = ((tenant, user, reward.badge) for tenant, user, rewards in wanted for reward in rewards.values())
    return {(tenant, user, badge) for tenant, user, badge in given if badge}
