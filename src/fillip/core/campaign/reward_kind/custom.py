"""Custom rewards: whatever the payload means to the tenant."""

from fillip.core.campaign.reward_kind.traits import KindTraits

TRAITS = KindTraits(label="a custom reward")
