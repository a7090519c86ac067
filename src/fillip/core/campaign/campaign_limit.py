"""Limits within a campaign's definition: in force with its launch, under an id of the campaign and their name."""

from typing import Literal

from msgspec import Struct
from msgspec.structs import asdict

from fillip.core.limit import Limit, Measure, Over, Span
from fillip.core.local_day import Zone
from fillip.core.tenant import Weekday


def is_of_definition(limit_id: str) -> bool:
    """Whether it is a limit within a campaign's definition: no limit that was made apart has a dot in its id."""
    return "." in limit_id


def name_limit(campaign_id: str, name: str) -> str:
    """The id of a limit within a campaign's definition."""
    return f"{campaign_id}.{name}"


class CampaignLimit(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a `Limit` is, of the campaign that defines it; `name` is its own within the campaign."""

    name: str
    scope: Literal["campaign", "user_in_campaign"]
    measure: Measure
    span: Span
    cap: int
    reward_kind: str | None = None
    currency: str | None = None
    action: str | None = None
    key: str | None = None
    week_starts_on: Weekday | None = None
    rolling_s: int | None = None
    zone: Zone = "tenant"
    pool: str | None = None
    over: Over = "refuse"

    def to_limit(self, campaign_id: str, granting_action: str | None = None, key_checked: bytes | None = None) -> Limit:
        """The limit as it caps grants; where it has a key, that is read from events of `granting_action`."""
        terms = asdict(self)
        name = terms.pop("name")
        if self.key:
            terms["action"] = self.action or granting_action
        return Limit(limit_id=name_limit(campaign_id, name), campaign_id=campaign_id, key_checked=key_checked, **terms)
