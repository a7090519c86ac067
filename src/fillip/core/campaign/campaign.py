"""Campaigns: what a marketer writes down, and its life cycle."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from functools import cached_property
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.campaign.campaign_limit import CampaignLimit
from fillip.core.campaign.expression import Expression, name_path
from fillip.core.campaign.hours import Hours, Week, tell_minute
from fillip.core.campaign.quest import Keyed, Quest
from fillip.core.campaign.reward import Reward
from fillip.core.campaign.variant import Variant
from fillip.core.limit import Limit

CampaignState = Literal["draft", "shadow", "scheduled", "running", "paused", "ended", "archived"]

LIFE_CYCLE: dict[tuple[CampaignState, str], CampaignState] = {
    # draft → scheduled → running ⇄ paused → ended → archived. `launch` lands in scheduled or running by the schedule;
    # the clock moves scheduled to running and running to ended. Deciding goes by the schedule and event time alone, so
    # that an event that arrives late still counts; only draft, shadow, paused and archived refuse by state. An event that a paused
    # campaign refuses is refused for good: it is recorded, so that it is the same event when it is sent again.
    # A draft may be in shadow first: it is decided on what comes, and grants nothing. What it was in shadow leaves nothing
    # that the launched campaign would find.
    ("draft", "shadow"): "shadow",
    ("shadow", "withdraw"): "draft",
    ("draft", "launch"): "running",
    ("shadow", "launch"): "running",
    ("scheduled", "pause"): "paused",
    ("running", "pause"): "paused",
    ("paused", "resume"): "running",
    ("scheduled", "end"): "ended",
    ("running", "end"): "ended",
    ("paused", "end"): "ended",
    ("draft", "archive"): "archived",
    ("shadow", "archive"): "archived",
    ("ended", "archive"): "archived",
}
REFUSING: frozenset[CampaignState] = frozenset({"draft", "shadow", "paused", "archived"})

UNLAUNCHED: frozenset[CampaignState] = frozenset({"draft", "shadow"})
"""What is free to change as a whole: nothing was granted."""


ScheduleReason = Literal["not_started", "ended", "outside_hours"]
"""Why its schedule keeps a campaign from taking an event."""


class Schedule(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, dict=True):
    """By event time, both ends included; None is open. An end that was given as a day stands in `starts_on` or `ends_on` too.

    With `recurring` it is open in these hours of each week alone.
    """

    starts_at: datetime | None = None
    ends_at: datetime | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    recurring: tuple[Hours, ...] = ()

    @cached_property
    def week(self) -> Week:
        """Its hours, where it has any."""
        return Week(self.recurring)

    def refuse(self, instant: datetime, time_zone: str) -> ScheduleReason | None:
        """Why it does not take what happened at an instant, or None where it does; `time_zone` is the tenant's."""
        if self.starts_at and instant < self.starts_at:
            return "not_started"
        if self.ends_at and instant > self.ends_at:
            return "ended"
        return None if not self.recurring or self.week.is_open(tell_minute(instant, time_zone)) else "outside_hours"

    def find_next(self, instant: datetime, time_zone: str) -> datetime | None:
        """The first instant, from this one on, that it takes; None where there is none soon."""
        begin = max(instant, self.starts_at) if self.starts_at else instant
        found = self.week.find_next(begin, time_zone) if self.recurring else begin
        return None if found and self.ends_at and found > self.ends_at else found


class Exclusive(Struct, frozen=True, forbid_unknown_fields=True):
    """Of the campaigns of a group only one grants for an event: the first by priority, or the one of most value."""

    group: str
    pick: Literal["priority", "value"]


class Campaign(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, dict=True):
    """One version of a campaign. SIMPLE has `action` and `rule`; QUEST has `quest`. Empty `cohorts` = everyone.

    Not `stackable`: for an event it grants alone or not at all. `give_back`: whether a reversal gives limits back what the grant took.
    With `variants` each user gets what theirs does, else all get all `rewards`. With `codes` its events are redemptions of these alone.
    """

    kind: Literal["SIMPLE", "QUEST"]
    name: str
    rewards: tuple[Reward, ...]
    action: str | None = None
    rule: str = "true"
    quest: Quest | None = None
    schedule: Schedule = Schedule()
    cohorts: tuple[str, ...] = ()
    priority: int = 0
    stackable: bool = True
    exclusive: Exclusive | None = None
    give_back: bool = True
    variants: tuple[Variant, ...] = ()
    limits: tuple[CampaignLimit, ...] = ()
    codes: tuple[str, ...] = ()

    @cached_property
    def expressions(self) -> tuple[Expression, ...]:
        """All that it asks of events: its rule, or its quest's in the order of the steps, then the formulas and the limits' keys."""
        action, rewards = self.granting_action() or "", enumerate(self.rewards)
        formulas = (Expression("formula", action, each.formula.of, index) for index, each in rewards if each.formula)
        keys = (Expression("limit", action, each.key, index) for index, each in enumerate(self.limits) if each.key)
        return (*self._list_conditions(), *formulas, *keys)

    @property
    def has_user_days(self) -> bool:
        """Whether it goes by the days of each user's own zone."""
        by_streak = self.quest is not None and self.quest.zone == "user"
        return by_streak or any(reward.has_user_days for reward in self.rewards)

    @cached_property
    def rewards_by_variant(self) -> Mapping[str | None, Mapping[int, Reward]]:
        """What the users of each variant get, by the index of the reward; without variants, what all get, under None."""
        rewards = list(enumerate(self.rewards))
        if not self.variants:
            return {None: dict(rewards)}
        return {
            each.variant_id: {
                n: reward for n, reward in rewards if not reward.variants or each.variant_id in reward.variants
            }
            for each in self.variants
        }

    def list_rewards(self, variant: str | None) -> Mapping[int, Reward]:
        """What a user of this variant gets, by the index of the reward; nothing where there are variants and this is none."""
        return self.rewards_by_variant.get(variant, {})

    def list_limits(self, campaign_id: str, checked: Mapping[str, "CheckedExpression"]) -> tuple[Limit, ...]:
        """Those of its definition, as they cap grants once it is launched; `checked` are its expressions by path."""
        keys = {index: checked.get(name_path("limit", index)) for index in range(len(self.limits))}
        return tuple(
            each.to_limit(campaign_id, self.granting_action(), key.code if (key := keys[index]) else None)
            for index, each in enumerate(self.limits)
        )

    def _list_conditions(self) -> Iterator[Expression]:
        if self.quest is None:
            yield Expression("rule", self.action or "", self.rule)
            return
        start, opening_action = self.quest.start, self.quest.opening_action
        if start.at == "event":
            yield Expression("start", start.action or "", start.rule)
        for index, step in enumerate(self.quest.steps):
            yield Expression("step", step.action, step.rule, index, opening_action)
            if step.sum is not None:
                yield Expression("sum", step.action, step.sum, index)
            if step.distinct is not None:
                yield Expression("distinct", step.action, step.distinct, index)
        if isinstance(self.quest.instance, Keyed):
            yield Expression("key", opening_action or "", self.quest.instance.key)

    def beside(self, newest: "Campaign") -> "Campaign":
        """The earlier version `self` as its open instances go on under it, with `newest` in force for all others.

        When all is over, and who wins an event, is asked of the campaign as it is now; the rest is as it was.
        """
        ends = [at for at in (self.schedule.ends_at, newest.schedule.ends_at) if at]
        return replace(
            self,
            schedule=replace(self.schedule, ends_at=min(ends, default=None)),
            priority=newest.priority,
            stackable=newest.stackable,
            exclusive=newest.exclusive,
        )

    def granting_action(self) -> str | None:
        """The action whose events earn the rewards: the quest's last; None where it may be one of several."""
        if self.quest is None:
            return self.action
        actions = [step.action for step in self.quest.steps]
        return actions[-1] if self.quest.ordered or len(set(actions)) == 1 else None


class CheckedExpression(Struct, frozen=True):
    """A type-checked expression as stored beside its version: the serialised CheckedExpr and what it reads.

    `uses_lists` are the ids of the named lists; `cost` the most steps (core/rule/cost.py) that it takes. `cohorts` are the ids of those that
    it names; `all_cohorts`: it may ask for any. `uses_instance`: a step's rule that reads `start` or `progress`, so that part of it is left to settle.
    """

    code: bytes
    uses_user: bool = False
    uses_cohorts: bool = False
    uses_instance: bool = False
    uses_lists: tuple[str, ...] = ()
    cost: int = 0
    cohorts: tuple[str, ...] = ()
    all_cohorts: bool = False
