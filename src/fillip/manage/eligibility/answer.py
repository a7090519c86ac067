"""What a user can earn, as it is answered: campaigns with what they give, what is missing, or what is in the way."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from fillip.core.campaign.reward import RewardKind
from fillip.http.fields import give_examples
from fillip.manage.explain.answer import CheckName, StepAnswer

EligibilityOutcome = Literal["earned", "nearly", "open_quest", "open", "not_earned"]


class CountsAnswer(BaseModel):
    """How many campaigns there are of each outcome, told or not."""

    earned: int = 0
    nearly: int = 0
    open_quest: int = 0
    open: int = 0
    not_earned: int = 0


class RewardTold(BaseModel):
    """A reward; `value` is null where the event tells how much, and none does yet."""

    kind: RewardKind
    currency: str | None
    value: int | None


class MissingAnswer(BaseModel):
    """What is missing: of an attribute of the event, or of a step of a quest."""

    attribute: str | None = Field(None, examples=["event.amount_cents"])
    step: str | None = None
    have: float | int = Field(examples=[4280])
    need: float | int = Field(examples=[5000])
    missing: float | int = Field(examples=[720])


class BarAnswer(BaseModel):
    """How far a quest is: of an instance that the user has, or would have after the event, else of one that would begin."""

    instance: str | None = None
    campaign_version: int
    started_at: datetime | None = None
    ends_at: datetime | None = None
    moved: bool = Field(False, description="Whether the event would move it on: the steps are as they would be then")
    steps: list[StepAnswer]


class LimitLeft(BaseModel):
    """How much of a limit's `cap` is left for the user; of one by a key of the event only where that is known."""

    limit_id: str
    key: str = ""
    cap: int
    left: int
    resets_at: datetime | None = None


class ReasonAnswer(BaseModel):
    """The first check that does not pass, as an explanation tells it."""

    check: CheckName
    reason: str | None
    message: str


class CampaignEligibility(BaseModel):
    """One campaign: what it would give, and what is missing, or in the way."""

    campaign_id: str
    campaign_version: int
    name: str
    outcome: EligibilityOutcome
    rewards: list[RewardTold]
    missing: list[MissingAnswer] = []
    failed: ReasonAnswer | None = None
    quests: list[BarAnswer] = []
    limits: list[LimitLeft] = []
    actions: list[str] = Field([], description="The actions whose events it looks at")


class EligibilityAnswer(BaseModel):
    """What a user can earn now, as everything stands: `campaigns` are the first `limit` of `total`."""

    model_config = give_examples(
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

    user_id: str
    user_revision: int | None
    at: datetime = Field(description="When the event happens; without one, the instant of the answer")
    book_version: int
    total: int
    counts: CountsAnswer
    campaigns: list[CampaignEligibility]
