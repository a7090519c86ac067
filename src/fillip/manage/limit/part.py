"""What a limit says, made apart or within a campaign's definition."""

from pydantic import Field

from fillip.core.campaign.formula import MAX_VALUE
from fillip.core.campaign.reward import RewardKind
from fillip.core.limit import Measure, Over, Span
from fillip.core.local_day import Zone
from fillip.core.rolling import MAX_SPAN_S, MIN_SPAN_S
from fillip.core.tenant import Weekday
from fillip.http.fields import ActionName, Currency, ObjectId, Part, RuleText


class CapPart(Part):
    """At most `cap` grants or codes of `pool` (count) or units of `reward_kind` (value) a window."""

    measure: Measure
    span: Span = Field(description="Windows go by the event's day in the zone said, rolling ones by its time")
    week_starts_on: Weekday | None = Field(None, description="For span week, and only for it; Monday if left out")
    rolling_s: int | None = Field(
        None,
        ge=MIN_SPAN_S,
        le=MAX_SPAN_S,
        strict=True,
        description="For span rolling, and only for it: the window in seconds",
    )
    zone: Zone = Field(
        "tenant",
        description="Whose days make a window: the tenant's, or with a user scope those of each user's own time zone",
    )
    cap: int = Field(ge=0, le=MAX_VALUE, strict=True, description="Grants, or minor units / points by value")
    over: Over = Field(
        "refuse", description="When less is left than a grant takes: refuse it, or give what is left (by value only)"
    )
    reward_kind: RewardKind | None = Field(None, description="Needed by value")
    currency: Currency | None = Field(
        None,
        description="Of points or cashback by value: whose values are added up. The tenant's, or its currency of points;"
        " needed where it has several",
    )
    action: ActionName | None = Field(None, description="Only events of this action count; a key reads this action")
    key: RuleText | None = Field(None, description="A text or whole number of `event`: each value has its own cap")
    pool: ObjectId | None = Field(
        None, description="By count: the codes of this coupon pool are counted, in place of grants"
    )
