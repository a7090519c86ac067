"""What a marketer writes down, as the API takes and gives it; bounds stand here, meaning is checked in checks.py."""

from collections.abc import Callable
from datetime import date, datetime
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BeforeValidator, Field

from fillip.core.campaign.campaign import Campaign, CheckedExpression
from fillip.core.campaign.formula import MAX_VALUE, Rounding
from fillip.core.campaign.hours import Weekday
from fillip.core.campaign.period_end import MOST_AFTER, Period
from fillip.core.campaign.reward import MAX_REWARDS, OnPartial, RewardKind
from fillip.core.local_day import Zone, end_day, find_last, start_day
from fillip.core.redemption import REDEMPTION
from fillip.http.fields import (
    ActionName,
    Currency,
    InstantOrDay,
    ObjectId,
    Part,
    Payload,
    Percent,
    RuleText,
    give_examples,
)
from fillip.manage.campaign.postgres import CampaignRow
from fillip.manage.limit.part import CapPart

MAX_WINDOW_S = 366 * 86_400
MAX_SPAN_S = 10 * MAX_WINDOW_S
MAX_INT = 2**63 - 1
PublicCode = Annotated[str, Field(pattern="^[A-Za-z0-9._-]{1,64}$", examples=["SPRING"])]
ClockTime = Annotated[str, Field(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["17:00"])]


class TierPart(Part):
    """From `at_least` on: a fixed `value`, or `percent` of the expression."""

    at_least: int = Field(ge=-MAX_INT, le=MAX_INT, strict=True, examples=[5000])
    value: int | None = Field(None, ge=1, le=MAX_VALUE, strict=True)
    percent: Percent | None = None


class FormulaPart(Part):
    """A value by the event: `of` gives an int; alone it is the value, with `percent` that part of it, rounded.

    With `tiers` (thresholds rising) the highest that `of` reaches gives the value. No value is above `max`; one below
    1 gives nothing.
    """

    of: RuleText = Field(examples=["event.amount_cents"])
    percent: Percent | None = None
    rounding: Rounding | None = Field(None, description="To whole units; goes with every percent")
    max: int | None = Field(None, ge=1, le=MAX_VALUE, strict=True)
    tiers: list[TierPart] = Field([], max_length=20)


class PeriodEndPart(Part):
    """The end of the day, month or year of the event, or of the one so many `after` it."""

    model_config = give_examples({"end_of": "month", "after": 3})

    end_of: Period
    after: int = Field(0, ge=0, le=max(MOST_AFTER.values()), strict=True)
    zone: Zone = Field(
        "tenant",
        description="By whose calendar: the tenant's, or that of each user's own time zone when it was granted",
    )


class RewardPart(Part):
    """What is given: `value` in minor units of `currency` (cashback), or in points; or what `formula` gives.

    It expires in one way at most: `expires_after_s`, `expires_at` or `expires`; points are available by `pending_for_s`, `available_at`
    or `available`.
    """

    kind: RewardKind
    value: int = Field(
        0, ge=0, le=MAX_VALUE, strict=True, description="Of points and cashback 1 or more, unless a formula tells it"
    )
    currency: str | None = Field(
        None,
        pattern="^[A-Z][A-Z0-9_]{0,31}$",
        description="The tenant's, which cashback defaults to; of points one of their currencies, by default POINTS",
    )
    payload: Payload | None = None
    pending_for_s: int | None = Field(
        None, ge=1, le=MAX_SPAN_S, strict=True, description="Points can be spent only so long after the event"
    )
    available_at: InstantOrDay | None = Field(
        None, description="Points can be spent from then on; a day: from its beginning"
    )
    available: PeriodEndPart | None = Field(
        None, description="Points can be spent from the end of the day, month or year on"
    )
    expires_after_s: int | None = Field(None, ge=1, le=MAX_SPAN_S, strict=True, description="Counted from the event")
    expires_at: InstantOrDay | None = Field(None, description="A day: with its end", examples=["2026-12-31"])
    expires: PeriodEndPart | None = None
    formula: FormulaPart | None = None
    pool: ObjectId | None = Field(
        None, description="Each coupon comes with a code of this pool; one without says by its payload what it is"
    )
    badge: ObjectId | None = Field(None, description="A badge of /v1/badges, which a user can hold once")
    variants: list[ObjectId] = Field([], max_length=8, description="Those of the campaign's that get it; empty: all")
    on_partial: OnPartial | None = Field(
        None,
        description="What a return of a part of the event takes: nothing before the whole (keep), its share (prorate), or what the rule and"
        " the formula, asked again for what is left, no longer give (reevaluate); of points and cashback prorate, else keep",
    )


class StreakPart(Part):
    """`length` days or weeks (from Monday) in a row, in the quest's `zone`, each with an event; `freeze` may be missed.

    An event of a day before the newest one counts until the quest's `lateness_s` after the end of that day.
    """

    length: int = Field(ge=2, le=366, strict=True)
    unit: Literal["day", "week"] = "day"
    freeze: int = Field(0, ge=0, le=366, strict=True)


class StepPart(Part):
    """Met by events of `action` for which `rule` holds: `count` of them, or of different values of `distinct`, or such that
    `sum` reaches `at_least` or exceeds `more_than`, or a `streak`. The rule may also read `start` and `progress`.
    """

    name: str = Field(min_length=1, max_length=100, examples=["visit"])
    action: ActionName
    rule: RuleText = "true"
    count: int = Field(1, ge=1, le=10_000, strict=True)
    distinct: RuleText | None = Field(
        None,
        description="A string or int expression over the event: `count`, 2 to 500, is how many different values of it there must be",
        examples=["event.friend_id"],
    )
    sum: RuleText | None = Field(None, description="An int expression; terms may be negative")
    at_least: int | None = Field(None, ge=1, le=MAX_VALUE, strict=True)
    more_than: int | None = Field(None, ge=0, le=MAX_VALUE, strict=True)
    streak: StreakPart | None = None


class StartPart(Part):
    """What opens an instance of a quest; `action` and `rule` go with `event` alone."""

    at: Literal["campaign", "first_step", "event"] = "first_step"
    action: ActionName | None = None
    rule: RuleText = "true"


class KeyPart(Part):
    """One instance for each value of `key`, a string or int expression over the event that opens it."""

    key: RuleText


class QuestPart(Part):
    """Steps that a user's events must meet within `window_s` seconds of the start (absent: until the campaign ends).

    `instance`: one at a time for each user, one for each event that opens one, or one at a time for each value of a
    key. An event dated inside the window counts until `lateness_s` after its end.
    """

    steps: list[StepPart] = Field(min_length=1, max_length=20)
    start: StartPart = StartPart()
    instance: Literal["user", "event"] | KeyPart = "user"
    window_s: int | None = Field(None, ge=1, le=MAX_WINDOW_S, strict=True)
    lateness_s: int = Field(0, ge=0, le=7 * 86_400, strict=True)
    ordered: bool = Field(True, strict=True)
    repeatable: bool = Field(False, strict=True)
    zone: Zone = Field(
        "tenant", description="Whose days the streaks count: the tenant's, or those of each user's own time zone"
    )


class HoursPart(Part):
    """Hours of each week, by the clocks of the tenant's zone: from a time until before another, on these weekdays (empty: on each).

    Where `until` is not later than `from`, it is that of the next day: from 22:00 until 02:00 on friday ends on saturday.
    """

    model_config = give_examples({"weekdays": ["saturday", "sunday"], "from": "17:00", "until": "19:00"})

    weekdays: list[Weekday] = Field([], max_length=7)
    opens: ClockTime = Field(alias="from")
    closes: ClockTime = Field(alias="until")


class SchedulePart(Part):
    """By event time, both ends included; an absent end is open. A day, such as 2026-06-19, is all of it in the tenant's zone."""

    starts_at: InstantOrDay | None = Field(
        default=None,
        description="Absent: the second of the launch, from which on it stands here; open where the clock is history",
    )
    ends_at: InstantOrDay | None = Field(None, examples=["2026-06-19"])
    recurring: list[HoursPart] = Field([], max_length=7, description="Empty: at any hour")


SIMPLE_EXAMPLE: dict[str, Any] = {
    "kind": "SIMPLE",
    "name": "Coupon of campaign 26",
    "action": "REDEEM",
    "rule": 'event.campaign == "26"',
    "cohorts": ["households-26"],
    "schedule": {"starts_at": "2017-12-28T00:00:00Z", "ends_at": "2018-02-13T23:59:59Z"},
    "rewards": [{"kind": "coupon", "payload": {"coupon": "10000089064"}}],
}
QUEST_EXAMPLE: dict[str, Any] = {
    "kind": "QUEST",
    "name": "Three visits in a week",
    "quest": {"steps": [{"name": "visit", "action": "PURCHASE", "count": 3}], "window_s": 604_800, "repeatable": True},
    "rewards": [{"kind": "points", "value": 50}],
}


class ExclusivePart(Part):
    """Of the campaigns of a group one alone grants for an event, picked by `priority` or by the `value` of its rewards."""

    group: ObjectId
    pick: Literal["priority", "value"]


class CampaignLimitPart(CapPart):
    """A cap on what this campaign grants, to all users or to each: in force with the launch, as limit `<campaign_id>.<name>`."""

    model_config = give_examples(
        {"name": "daily", "scope": "user_in_campaign", "measure": "count", "span": "day", "cap": 1},
        {
            "name": "budget",
            "scope": "campaign",
            "measure": "value",
            "reward_kind": "cashback",
            "span": "month",
            "cap": 10_000,
        },
    )

    name: str = Field(pattern="^[a-z0-9][a-z0-9_-]{0,31}$", examples=["daily"])
    scope: Literal["campaign", "user_in_campaign"]
    currency: Currency | None = Field(
        None, description="Of points or cashback by value: which rewards are added up; needed where they are of several"
    )


class VariantPart(Part):
    """So many percent of the users: by a hash of tenant, campaign and user, so the same for ever.

    They get the rewards that name the variant, and those that name none; where that is nothing, it is a control.
    """

    variant_id: ObjectId = Field(examples=["control"])
    percent: int = Field(ge=1, le=99, strict=True, examples=[50])


class DefinitionPart(Part):
    """A campaign: SIMPLE has `action` and `rule`, QUEST has `quest`; empty `cohorts` = everyone."""

    model_config = give_examples(SIMPLE_EXAMPLE, QUEST_EXAMPLE)

    kind: Literal["SIMPLE", "QUEST"]
    name: str = Field(min_length=1, max_length=200)
    rewards: list[RewardPart] = Field(min_length=1, max_length=MAX_REWARDS)
    action: ActionName | None = None
    rule: RuleText = "true"
    quest: QuestPart | None = None
    schedule: SchedulePart = SchedulePart()
    cohorts: list[ObjectId] = Field([], max_length=20)
    priority: int = Field(0, ge=-1000, le=1000, strict=True)
    stackable: bool = Field(True, strict=True, description="False: for an event it grants alone or not at all")
    exclusive: ExclusivePart | None = None
    give_back: bool = Field(
        True, strict=True, description="Whether a reversal gives back what the grant took of limits"
    )
    variants: list[VariantPart] = Field(
        [], max_length=8, description="None, or 2 to 8 whose percentages come to 100; they stay when it was launched"
    )
    codes: list[PublicCode] = Field(
        [],
        max_length=20,
        description="Public codes, compared without their case: it grants for their redemptions alone",
    )

    limits: list[CampaignLimitPart] = Field(
        [], max_length=10, description="Of a launched campaign their caps may change"
    )

    def to_campaign(self, time_zone: str) -> Campaign:
        """The same as the noun that the path works with; `time_zone` is the tenant's, in which days are instants."""
        given = self.model_dump(by_alias=True)
        if self.codes and self.action is None and self.kind == "SIMPLE":
            given["action"] = REDEMPTION
        start, end, last = (partial(place, time_zone=time_zone) for place in (start_day, end_day, find_last))
        schedule = given["schedule"]
        schedule |= _place_day(schedule, "starts", start) | _place_day(schedule, "ends", last)
        for reward in given["rewards"]:
            reward |= _place_day(reward, "available", start) | _place_day(reward, "expires", end)
        return msgspec.convert(given, Campaign)


def _place_day(given: dict[str, Any], verb: str, place: Callable[[date], datetime]) -> dict[str, Any]:
    """Where a day was given for an instant: both."""
    day = given[f"{verb}_at"]
    return {} if day is None or isinstance(day, datetime) else {f"{verb}_at": place(day), f"{verb}_on": day}


def _show_days(definition: Any) -> Any:  # noqa: ANN401 - what a validator takes
    """A stored definition with the days that were given, in place of their instants."""
    if not isinstance(definition, dict):
        return definition
    rewards = [_show_day(reward) for reward in definition["rewards"]]
    return definition | {"schedule": _show_day(definition.get("schedule", {})), "rewards": rewards}


def _show_day(part: dict[str, Any]) -> dict[str, Any]:
    days = {name.replace("_on", "_at"): value for name, value in part.items() if name.endswith("_on")}
    return {name: value for name, value in part.items() if not name.endswith("_on")} | days


ShownDefinition = Annotated[DefinitionPart, BeforeValidator(_show_days)]
"""A stored definition as it was given."""


def read_definition(row: CampaignRow) -> Campaign:
    """The campaign that a row's definition describes."""
    return msgspec.convert(row.definition, Campaign)


def read_checked(row: CampaignRow) -> dict[str, CheckedExpression]:
    """The expressions of a row's definition, checked, by their path."""
    return msgspec.convert(row.checked, dict[str, CheckedExpression])
