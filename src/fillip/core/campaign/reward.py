"""Rewards: what a campaign gives."""

from datetime import date, datetime
from typing import Literal

from msgspec import Struct

from fillip.core.campaign.formula import Formula
from fillip.core.campaign.period_end import PeriodEnd
from fillip.core.instant import add_span
from fillip.core.tenant import Tenant

RewardKind = Literal["points", "cashback", "coupon", "badge", "custom"]

OnPartial = Literal["keep", "prorate", "reevaluate"]
"""What a return of a part of the event takes of a reward: nothing, its share, or what the rule and the formula, asked again for
what is left of the event, no longer give."""


class Reward(Struct, frozen=True, omit_defaults=True):
    """What a campaign gives: `value` in minor units of `currency` (cashback), in points, or 0; `payload` is free JSON.

    `formula` takes the place of `value` where the event tells how much.

    By the event's time: points are pending for `pending_for_s`, until `available_at`, or until the end `available`, and can't be
    spent; it is the user's for `expires_after_s`, until `expires_at`, or until the end `expires`, one of them at most (none: for
    ever). What was given as a day stands in `available_on` or `expires_on` too. A coupon with `pool` comes with a code of that pool;
    `badge` names one that a user can hold once. `variants` are those of the campaign's that get it; empty: all. `on_partial` None is
    `prorate` of amounts and `keep` of all else.
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
    expires_at: datetime | None = None
    expires_on: date | None = None
    expires: PeriodEnd | None = None
    available_at: datetime | None = None
    available_on: date | None = None
    available: PeriodEnd | None = None
    on_partial: OnPartial | None = None

    @property
    def is_dated(self) -> bool:
        """Whether it expires."""
        return self.expires_after_s is not None or self.expires_at is not None or self.expires is not None

    @property
    def has_user_days(self) -> bool:
        """Whether it expires or becomes available by the days of each user's own zone."""
        return any(end is not None and end.zone == "user" for end in (self.expires, self.available))

    def find_expiry(self, occurred_at: datetime, time_zone: str, own_time_zone: str | None) -> datetime | None:
        """When what an event of this time earned expires, by the clock, in the tenant's zone or the user's own (see PeriodEnd); None: never."""
        if self.expires:
            return self.expires.find(occurred_at, time_zone, own_time_zone)
        return self.expires_at if self.expires_after_s is None else add_span(occurred_at, self.expires_after_s)

    def find_available(self, occurred_at: datetime, time_zone: str, own_time_zone: str | None) -> datetime | None:
        """Until when the points of an event of this time are pending, as above; None: not at all."""
        if self.available:
            return self.available.find(occurred_at, time_zone, own_time_zone)
        return self.available_at if self.pending_for_s is None else add_span(occurred_at, self.pending_for_s)

    def expire_at(self, occurred_at: datetime, tenant: Tenant, own_time_zone: str | None) -> datetime | None:
        """When what an event of this time earned expires; never in a tenant with the clock `history`."""
        return None if tenant.clock == "history" else self.find_expiry(occurred_at, tenant.time_zone, own_time_zone)

    def is_over(self, occurred_at: datetime, received_at: datetime, tenant: Tenant, own_time_zone: str | None) -> bool:
        """Whether it had expired when the broker took the event: nobody could ever claim it."""
        expires_at = self.expire_at(occurred_at, tenant, own_time_zone)
        return expires_at is not None and expires_at <= received_at


MAX_REWARDS = 10
"""Of a campaign, most."""
POINTS = "POINTS"
"""The currency that every tenant has, and that a reward of points without a currency is in."""
