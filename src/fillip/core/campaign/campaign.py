"""Campaigns: what a marketer writes down, and its life cycle."""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.campaign.quest import Keyed, Quest
from fillip.core.campaign.reward import Reward

CampaignState = Literal["draft", "scheduled", "running", "paused", "ended", "archived"]

LIFE_CYCLE: dict[tuple[CampaignState, str], CampaignState] = {
    # draft → scheduled → running ⇄ paused → ended → archived. `launch` lands in scheduled or running by the schedule;
    # the clock moves scheduled to running and running to ended. Deciding goes by the schedule and event time alone, so
    # that an event that arrives late still counts; only draft, paused and archived refuse by state. An event that a paused
    # campaign refuses is refused for good: it is recorded, so that it is the same event when it is sent again.
    ("draft", "launch"): "running",
    ("scheduled", "pause"): "paused",
    ("running", "pause"): "paused",
    ("paused", "resume"): "running",
    ("scheduled", "end"): "ended",
    ("running", "end"): "ended",
    ("paused", "end"): "ended",
    ("draft", "archive"): "archived",
    ("ended", "archive"): "archived",
}
KEY_PATH = "quest.instance.key"
REFUSING: frozenset[Literal["draft", "paused", "archived"]] = frozenset({"draft", "paused", "archived"})


class Schedule(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """By event time, both ends included; None is open."""

    starts_at: datetime | None = None
    ends_at: datetime | None = None

    def refuse(self, instant: datetime) -> str | None:
        """`not_started`, `ended`, or None when `instant` is inside."""
        if self.starts_at and instant < self.starts_at:
            return "not_started"
        return "ended" if self.ends_at and instant > self.ends_at else None


class Exclusive(Struct, frozen=True, forbid_unknown_fields=True):
    """Of the campaigns of a group only one grants for an event: the first by priority, or the one of most value."""

    group: str
    pick: Literal["priority", "value"]


class Campaign(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One version of a campaign. SIMPLE has `action` and `rule`; QUEST has `quest`. Empty `cohorts` = everyone.

    Not `stackable`: for an event it grants alone or not at all. `give_back`: whether a reversal gives limits back what the grant took.
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

    def expressions(self) -> Iterator[tuple[str, str, str]]:
        """Each expression as (path in the definition, action whose schema types it, source): rules, then sums and keys."""
        if self.quest is None:
            yield "rule", self.action or "", self.rule
            return
        if self.quest.start.at == "event":
            yield "quest.start.rule", self.quest.start.action or "", self.quest.start.rule
        for index, step in enumerate(self.quest.steps):
            yield f"quest.steps.{index}.rule", step.action, step.rule
            if step.sum is not None:
                yield f"quest.steps.{index}.sum", step.action, step.sum
        if isinstance(self.quest.instance, Keyed):
            yield KEY_PATH, self.quest.opening_action or "", self.quest.instance.key

    def beside(self, newest: "Campaign") -> "Campaign":
        """The earlier version `self` as its open instances go on under it, with `newest` in force for all others.

        When all is over, and who wins an event, is asked of the campaign as it is now; the rest is as it was.
        """
        ends = [at for at in (self.schedule.ends_at, newest.schedule.ends_at) if at]
        return replace(
            self,
            schedule=Schedule(self.schedule.starts_at, min(ends, default=None)),
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

    def formulas(self) -> Iterator[tuple[str, str]]:
        """The expression of each reward's formula as (path in the definition, source); `granting_action` types it."""
        for index, reward in enumerate(self.rewards):
            if reward.formula:
                yield name_formula(index), reward.formula.of


def name_formula(index: int) -> str:
    """The path in the definition of the expression that a reward's value goes by."""
    return f"rewards.{index}.formula.of"


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
