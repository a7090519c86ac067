"""Rewards: what a campaign gives."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from fillip.core.campaign.formula import Formula
from fillip.core.instant import add_span

RewardKind = Literal["points", "cashback", "coupon", "badge", "custom"]


class Reward(Struct, frozen=True, omit_defaults=True):
    """What a campaign gives: `value` in minor units of `currency` (cashback), in points, or 0; `payload` is free JSON.

    `formula` takes the place of `value` where the event tells how much.

    From the event's time on: points are pending for `pending_for_s` and can't be spent, and it is the user's for
    `expires_after_s` (None: for ever). A coupon with `pool` comes with a code of that pool; `badge` names one that a
    user can hold once. `variants` are those of the campaign's that get it; empty: all.
    """

    kind: RewardKind
    value: int = 0
    currency: str | None = None
    payload: dict[str, object] | None = None
    pending_for_s: int | None = None
    pool: str | None = None
    badge: str | None = None
    expires_after_s: int | None = None
    formula: Formula | None = None
    variants: tuple[str, ...] = ()

    def expire_at(self, occurred_at: datetime, clock: str) -> datetime | None:
        """When what an event of this time earned expires; never in a tenant with the clock `history`."""
        if self.expires_after_s is None or clock == "history":
            return None
        return add_span(occurred_at, self.expires_after_s)

    def is_over(self, occurred_at: datetime, received_at: datetime, clock: str) -> bool:
        """Whether it had expired when the broker took the event: nobody could ever claim it."""
        expires_at = self.expire_at(occurred_at, clock)
        return expires_at is not None and expires_at <= received_at


POINTS = "POINTS"
"""The currency that every tenant has, and that a reward of points without a currency is in."""
