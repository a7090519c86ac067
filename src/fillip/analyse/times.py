"""How long an incentive's way is: from its event over the grant and the phone to the claim."""

from datetime import date

from msgspec import Struct


class Times(Struct, frozen=True):
    """How long a part of the way took, in seconds: half, 90 % and 99 % of `count` incentives at most so long."""

    count: int
    p50_s: float | None
    p90_s: float | None
    p99_s: float | None


class CampaignTimes(Struct, frozen=True):
    """The incentives that a campaign granted on one UTC day, `granted` in all, and each part of their way.

    An event *happened* when its sender says, and was *received* by the broker; it was *granted* when decided, and *committed* when
    PostgreSQL stored that. *Delivered* is when the user's client acknowledged it, *claimed* when it was redeemed.
    """

    day: date
    campaign_id: str
    granted: int
    happened_to_received: Times
    received_to_granted: Times
    granted_to_committed: Times
    granted_to_delivered: Times
    granted_to_claimed: Times
    delivered_to_claimed: Times
