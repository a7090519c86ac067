"""An explanation as it is answered: the event, every check in the order of the path, and what each of them looked at."""

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from fillip.core.campaign.reward import RewardKind
from fillip.core.quest.instance import QuestState
from fillip.http.fields import give_examples
from fillip.manage.limit.answer import UseAnswer

Outcome = Literal["granted", "denied", "progress", "no_match"]
CheckName = Literal[
    "state",
    "schedule",
    "action",
    "by_hand",
    "repair",
    "cohort",
    "rule",
    "holdout",
    "variant",
    "time",
    "quest",
    "reward",
    "shadow",
    "conflict",
    "limits",
    "room",
    "backfill",
]


class LeafAnswer(BaseModel):
    """One condition of a rule: its place, what it was (`wanted` is false under a `!`), and the values it read.

    Of a named list `reads` has its `version` and its `size`, not the items.
    """

    line: int
    column: int
    text: str = Field(examples=["event.amount_cents >= 5000"])
    wanted: bool
    value: bool | None
    error: str | None
    reads: dict[str, Any] = Field(examples=[{"event.amount_cents": 1200}])


class RuleAnswer(BaseModel):
    """A rule of the campaign that looks at this action, and its conditions."""

    path: str = Field(examples=["quest.steps.0.rule"])
    source: str
    met: bool
    leaves: list[LeafAnswer]


class LimitUse(UseAnswer):
    """A limit that the grant falls under: it fits when `used_before + amount <= cap`."""

    fits: bool


class WorthAnswer(BaseModel):
    """What a reward is worth for the event; with a formula: its expression, what that read and gave, or its error."""

    kind: RewardKind
    currency: str | None
    value: int | None
    source: str | None = None
    reads: dict[str, Any] | None = None
    amount: int | None = None
    error: str | None = None


class GivenAnswer(BaseModel):
    """What an event gave to a step: 1, or the term of its sum, and what of it was reversed."""

    event_id: str
    event_source: str
    amount: int
    reversed: int
    day: date
    value: str | None = Field(None, description="Of a step that counts different values: the event's")


class StepAnswer(BaseModel):
    """How far a step is, of how far it must come; of a decision also what it was given."""

    name: str
    done: int
    needed: int
    given: list[GivenAnswer] = []


class InstanceAnswer(BaseModel):
    """An instance of a quest that the event moves on, completes or completed."""

    instance: str = Field(examples=["1"])
    campaign_version: int = Field(description="The version that it goes on, or has ended, under")
    state: QuestState
    started_at: datetime
    ends_at: datetime | None
    steps: list[StepAnswer]


class Check(BaseModel):
    """One check; `reason` says in a word why it did not pass."""

    check: CheckName
    passed: bool
    message: str
    reason: str | None = None
    rules: list[RuleAnswer] | None = None
    instances: list[InstanceAnswer] | None = None
    rewards: list[WorthAnswer] | None = None
    outranked_by: str | None = None
    variant: str | None = None
    limits: list[LimitUse] | None = None


class WouldAnswer(BaseModel):
    """What it would be without the obstacles; `rewards` where it would be granted."""

    outcome: Outcome
    reason: str
    rewards: list[WorthAnswer]


class EventAnswer(BaseModel):
    """The event that is explained."""

    event_id: str | None
    event_source: str | None
    user_id: str
    action: str
    occurred_at: datetime
    received_at: datetime
    attributes: dict[str, Any]
    merged_into: str | None = Field(None, description="Who the user is by now, where it was merged into another since")


class AskedAgainAnswer(BaseModel):
    """A return in part that asked again: the attributes that the event was left with, and what the rule and the rewards come to for them.

    What it took is in `reevaluations` of the reversal.
    """

    reversal_id: str
    reversal_source: str
    attributes: dict[str, Any]
    rules: list[RuleAnswer]
    rewards: list[WorthAnswer]


class ExplanationAnswer(BaseModel):
    """Why an event earned something from a campaign, or why not. `summary` says it in a sentence.

    `as_of` tells whether this is a decision as it was made, what the event would earn as everything stands now, or what a
    backtest says that it would have earned.
    """

    model_config = give_examples(
        {
            "summary": "ada gets nothing from 'Big baskets': the rule does not hold: event.amount_cents >= 5000"
            " (event.amount_cents = 1200).",
            "as_of": "now",
            "outcome": "no_match",
            "reason": "rule",
            "campaign_id": "big-baskets",
            "campaign_version": 1,
            "decision_id": None,
            "user_revision": 3,
            "event": {
                "event_id": None,
                "event_source": None,
                "user_id": "ada",
                "action": "PURCHASE",
                "occurred_at": "2026-01-31T09:30:00Z",
                "received_at": "2026-01-31T09:30:01Z",
                "attributes": {"amount_cents": 1200},
            },
            "checks": [{"check": "state", "passed": True, "message": "the campaign is running"}],
        }
    )

    summary: str
    as_of: Literal["decision", "now", "backtest"]
    outcome: Outcome
    reason: str
    campaign_id: str
    campaign_version: int
    decision_id: UUID | None
    user_revision: int | None = Field(
        description="Of the attributes that were read, or would be; null where there are none, or no rule asked for them"
    )
    event: EventAnswer
    checks: list[Check]
    obstacles: list[Check] = Field(
        [],
        description="Of a trial, those failed checks that are not the event's or its user's: the campaign is a draft, in shadow, paused or"
        " archived, or the event lies in the future",
    )
    would: WouldAnswer | None = Field(None, description="Null where there is no obstacle")
    returns: list[AskedAgainAnswer] = Field(
        [], description="Of a decision, the newest 20 returns in part that asked again, the earliest first"
    )
