"""Cashback: an amount of the tenant's money, paid out by whoever claims it."""

from fillip.core.campaign.reward_kind.traits import KindTraits

TRAITS = KindTraits(label="cashback", list_currencies=lambda money, points: (money,))
