"""What a user can earn, as it is answered: campaigns with what they give, what is missing, or what is in the way.

Plain classes: some 200 are made for an answer, and nobody has to check what we say.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal

from msgspec import json
from pydantic import Field, with_config

from fillip.core.campaign.reward import RewardKind
from fillip.http.fields import give_examples
from fillip.manage.explain.answer import CheckName, StepAnswer

EligibilityOutcome = Literal["earned", "nearly", "open_quest", "open", "not_earned"]


@dataclass(slots=True, kw_only=True)
class CountsAnswer:
    """How many campaigns there are of each outcome, told or not."""

    earned: int = 0
    nearly: int = 0
    open_quest: int = 0
    open: int = 0
    not_earned: int = 0


@dataclass(slots=True, kw_only=True)
class RewardTold:
    """A reward; `value` is null where the event tells how much, and none does yet."""

    kind: RewardKind
    currency: str | None
    value: int | None


@dataclass(slots=True, kw_only=True)
class MissingAnswer:
    """What is missing: of an attribute of the event, or of a step of a quest."""

    attribute: Annotated[str | None, Field(examples=["event.amount_cents"])] = None
    step: str | None = None
    have: Annotated[float | int, Field(examples=[4280])]
    need: Annotated[float | int, Field(examples=[5000])]
    missing: Annotated[float | int, Field(examples=[720])]


@dataclass(slots=True, kw_only=True)
class BarAnswer:
    """How far a quest is: of an instance that the user has, or would have after the event, else of one that would begin."""

    instance: str | None = None
    campaign_version: int
    started_at: datetime | None = None
    ends_at: datetime | None = None
    moved: Annotated[
        bool, Field(description="Whether the event would move it on: the steps are as they would be then")
    ] = False
    steps: list[StepAnswer]


@dataclass(slots=True, kw_only=True)
class LimitLeft:
    """How much of a limit's `cap` is left for the user; of one by a key of the event only where that is known."""

    limit_id: str
    key: str = ""
    cap: int
    left: int
    resets_at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class ReasonAnswer:
    """The first check that does not pass, as an explanation tells it."""

    check: CheckName
    reason: str | None
    message: str


@dataclass(slots=True, kw_only=True)
class CampaignEligibility:
    """One campaign: what it would give, and what is missing, or in the way."""

    campaign_id: str
    campaign_version: int
    name: str
    outcome: EligibilityOutcome
    rewards: list[RewardTold]
    missing: list[MissingAnswer] = field(default_factory=list)
    failed: ReasonAnswer | None = None
    quests: list[BarAnswer] = field(default_factory=list)
    limits: list[LimitLeft] = field(default_factory=list)
    actions: Annotated[list[str], Field(description="The actions whose events it looks at")] = field(
        default_factory=list
    )


@with_config(
    give_examples(
        {
            "user_id": "ada",
            "user_revision": 3,
            "at": "2026-01-31T09:30:00Z",
            "book_version": 12,
            "total": 2,
            "counts": {"earned": 0, "nearly": 1, "open_quest": 0, "open": 0, "not_earned": 1},
            "campaigns": [
                {
                    "campaign_id": "big-baskets",
                    "campaign_version": 1,
                    "name": "Big baskets",
                    "outcome": "nearly",
                    "rewards": [{"kind": "cashback", "currency": "EUR", "value": 100}],
                    "missing": [
                        {"attribute": "event.amount_cents", "step": None, "have": 4280, "need": 5000, "missing": 720}
                    ],
                    "failed": None,
                    "quests": [],
                    "limits": [
                        {"limit_id": "one-a-day", "key": "", "cap": 1, "left": 1, "resets_at": "2026-01-31T23:00:00Z"}
                    ],
                    "actions": ["PURCHASE"],
                }
            ],
        }
    )
)
@dataclass(slots=True, kw_only=True)
class EligibilityAnswer:
    """What a user can earn now, as everything stands: `campaigns` are the first `limit` of `total`."""

    user_id: str
    user_revision: int | None
    at: Annotated[datetime, Field(description="When the event happens; without one, the instant of the answer")]
    book_version: int
    total: int
    counts: CountsAnswer
    campaigns: list[CampaignEligibility]

    def encode(self) -> bytes:
        """The answer as JSON."""
        return json.encode(self, enc_hook=_encode_step)


def _encode_step(value: object) -> object:
    """What explanations answer too is a model."""
    if isinstance(value, StepAnswer):
        return value.model_dump()
    raise NotImplementedError
