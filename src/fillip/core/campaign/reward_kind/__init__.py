"""The kinds of rewards, a module each: what sets one apart from the others is said there, and asked for here."""

from fillip.core.campaign.reward_kind import badge, cashback, coupon, custom, points
from fillip.core.campaign.reward_kind.traits import KindTraits

KINDS: dict[str, KindTraits] = {
    "points": points.TRAITS,
    "cashback": cashback.TRAITS,
    "coupon": coupon.TRAITS,
    "badge": badge.TRAITS,
    "custom": custom.TRAITS,
}
"""By the words of RewardKind."""
