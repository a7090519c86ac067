"""The story of an event as it is answered."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from fillip.http.fields import give_examples
from fillip.http.page import Page
from fillip.manage.explain.answer import Check, EventAnswer, Outcome

EventState = Literal["decided", "met_nothing", "waiting", "rejected", "refused"]


class RefusalAnswer(BaseModel):
    """The last time that the HTTP door refused an event of this name: it never came into the log."""

    refused_at: datetime
    status: int = Field(examples=[422])
    kind: str = Field(description="The last part of the problem's type", examples=["invalid-events"])
    at: str | None = Field(
        description="Where in the event (JSON pointer), where the answer named that", examples=["/data/amount"]
    )
    detail: str = Field(examples=["schema_violation: expected an integer, found str"])


class RejectionTold(BaseModel):
    """Behind the door, a worker could not decide what came under this name: see `GET /v1/rejections/{rejection_id}`."""

    rejection_id: UUID
    reason: str
    detail: str
    received_at: datetime
    rejected_at: datetime


class DecisionTold(BaseModel):
    """A decision on the event: see `GET /v1/decisions/{decision_id}`."""

    decision_id: UUID
    campaign_id: str
    campaign_version: int
    instance: str
    outcome: Literal["granted", "denied"]
    reason: str
    shadow: bool
    decided_at: datetime


class CampaignTold(BaseModel):
    """What the event was to one campaign that looks at its action. `failed` is the first check that did not pass, as in an explanation;
    null where all passed. `decision_ids` are what was decided, of a quest one for each instance completed.
    """

    campaign_id: str
    campaign_version: int
    name: str
    outcome: Outcome
    reason: str = Field(
        description="That of the decision; else of the failed check; `quest` where instances were moved on or begun; `changed` where"
        " nothing fails now, so that the user was another then"
    )
    summary: str
    failed: Check | None
    decision_ids: list[UUID]


class CampaignsTold(Page[CampaignTold]):
    """A page of them, by id; `total` counts all."""

    total: int


class StoryAnswer(BaseModel):
    """What became of one event.

    `state`: `decided` (recorded, with what campaigns decided), `met_nothing` (looked at, and recorded nowhere), `waiting` (in the log, not
    looked at yet), `rejected` (behind the door) or `refused` (at the door). Refusals and rejections are told beside any state.
    `as_of` says which definitions the campaigns are told by: those that the event was decided under, or those of now. Cohorts are always
    those of now, and so are the user's attributes where no decision on the event has recorded them (`user_as_of`).
    """

    model_config = give_examples(
        {
            "summary": "ada's PURCHASE met no campaign: of each that looks at it, `failed` says why.",
            "state": "met_nothing",
            "event_source": "/shop/till-7",
            "event_id": "order-7",
            "event": {
                "event_id": "order-7",
                "event_source": "/shop/till-7",
                "user_id": "ada",
                "action": "PURCHASE",
                "occurred_at": "2026-01-31T09:30:00Z",
                "received_at": "2026-01-31T09:30:01Z",
                "attributes": {"amount_cents": 1200},
            },
            "as_of": "decision",
            "book_version": 12,
            "user_as_of": "now",
            "user_revision": 3,
            "refusal": None,
            "rejections": [],
            "reversals": [],
            "decisions": [],
            "campaigns": {
                "items": [
                    {
                        "campaign_id": "big-baskets",
                        "campaign_version": 1,
                        "name": "Big baskets",
                        "outcome": "no_match",
                        "reason": "rule",
                        "summary": "ada gets nothing from 'Big baskets': the rule does not hold: event.amount_cents >= 5000"
                        " (event.amount_cents = 1200).",
                        "failed": {
                            "check": "rule",
                            "passed": False,
                            "reason": "rule",
                            "message": "the rule does not hold",
                        },
                        "decision_ids": [],
                    }
                ],
                "next_cursor": None,
                "total": 1,
            },
        }
    )

    summary: str
    state: EventState
    event_source: str
    event_id: str
    event: EventAnswer | None = Field(description="Null where it is not in the log")
    as_of: Literal["decision", "now"]
    book_version: int | None = Field(
        description="Of the definitions that the campaigns are told by; null without an event"
    )
    user_as_of: Literal["decision", "now"]
    user_revision: int | None
    refusal: RefusalAnswer | None
    rejections: list[RejectionTold] = Field(description="The newest 20")
    reversals: list[str] = Field(description="What took the event back since, in full or in part: see /v1/reversals")
    decisions: list[DecisionTold] = Field(description="The first 200, grants first")
    campaigns: CampaignsTold
