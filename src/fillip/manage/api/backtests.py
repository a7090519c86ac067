"""Backtests: what a campaign would have granted for the tenant's own past events."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from fillip.core.backtest.question import Definitions
from fillip.core.backtest.result import NotConsidered
from fillip.core.errors import Retry
from fillip.core.ledger.decision import DecisionReason, Outcome
from fillip.http.bearer import check_scope
from fillip.http.errors import Invalid
from fillip.http.fields import Instant, ObjectId, Part, give_examples
from fillip.http.filters import IdFilter
from fillip.http.page import Page, Pages, answer_page
from fillip.manage.backtest import postgres
from fillip.manage.campaign.postgres import find_campaign
from fillip.manage.explain.answer import ExplanationAnswer
from fillip.manage.request.route import Posting, Route, UnitOfWork, Writing, begin, find_app_state

BacktestState = Literal["waiting", "running", "done", "failed"]
FACTS = "facts:read"
LONGEST = timedelta(days=1_100)
Facts = Annotated[UnitOfWork, begin(FACTS)]
router = APIRouter(tags=["backtests"], route_class=Route)


class NewBacktest(Part):
    """A version of a campaign, the newest unless it says which, and the time in which the events happened: from an instant until
    before another, now unless it says when.
    """

    model_config = give_examples({"campaign_id": "spring-cashback", "from": "2026-01-01T00:00:00Z"})

    campaign_id: ObjectId
    version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    first_at: Annotated[Instant, Field(alias="from", examples=["2026-01-01T00:00:00Z"])]
    until_at: Instant | None = Field(None, alias="to", examples=["2026-04-01T00:00:00Z"])
    definitions: Definitions = Field(
        "current",
        description="`recorded`: each event by the definitions that were in force for it, without a `version`",
    )


class BacktestSpend(BaseModel):
    """Rewards of one kind and currency: how many, and their value in minor units or points, of which so much was `reversed` since:
    the cost is `value` less that.
    """

    kind: str
    currency: str | None
    rewards: int
    value: int
    reversed: int


class BacktestDay(BaseModel):
    """A day of the tenant's calendar. `reversed` of its grants were taken back since, in part or in full."""

    day: date
    granted: int
    reversed: int
    denied: int
    spend: list[BacktestSpend]


class BacktestLimit(BaseModel):
    """A limit that would have bitten: how many grants it denied, to how many users, and the first event by its time."""

    limit_id: str
    denied: int
    users: int
    first_at: datetime
    first_event_id: str


class BacktestOverlap(BaseModel):
    """Another campaign: for how many of the grants it was granted too, how many it outranked, and how many of its own grants
    would have been this campaign's instead.
    """

    campaign_id: str
    events: int
    outranked: int
    displaced: int


class BacktestCohort(BaseModel):
    """A cohort that the campaign is for, as it is now: its members, and how many of them met the rule and were granted something."""

    cohort_id: str
    version: int
    members: int
    met: int
    granted: int


class BacktestWorth(BaseModel):
    """What one reward of a grant came to, in minor units or points."""

    kind: str
    currency: str | None
    value: int


class BacktestDecision(BaseModel):
    """A decision, live or of the backtest: the `rewards` of a grant; of a denial the first limit that had no room."""

    outcome: Outcome
    reason: DecisionReason
    instance: str
    rewards: list[BacktestWorth]
    limit_id: str | None


class BacktestDifference(BaseModel):
    """An event for which one of the two granted, or both other values. Null: it decided nothing on it."""

    event_source: str
    event_id: str
    user_id: str
    occurred_at: datetime
    live: BacktestDecision | None
    backtest: BacktestDecision | None


class BacktestDifferences(BaseModel):
    """From what the campaign granted in fact: grants that only live gave, only the backtest would, or both in other values."""

    only_live: int
    only_backtest: int
    other_value: int
    samples: list[BacktestDifference] = Field(description="Up to 100")


class BacktestResult(BaseModel):
    """What the campaign would have granted. `events` are those of its actions; `unreadable` of them the schemas of now refuse,
    `undecidable` broke down, `not_met` were refused before the rule or failed in it. `not_considered` is what a backtest passes over: see the guide.
    """

    events: int
    events_met: int
    users_met: int
    granted: int
    reversed: int = Field(description="Grants taken back since, in part or in full")
    granted_users: int
    granted_alone: int = Field(description="Grants for whose event no other campaign was granted")
    spend: list[BacktestSpend]
    codes: int = Field(description="Coupon codes of pools that it would have taken")
    denied: dict[DecisionReason, int]
    days: list[BacktestDay]
    limits: list[BacktestLimit]
    overlap: list[BacktestOverlap] = Field(description="The 100 campaigns of most events")
    cohorts: list[BacktestCohort]
    unreadable: int
    undecidable: int
    not_met: dict[str, int]
    samples: list[ExplanationAnswer] = Field(description="Up to 10 grants and 10 denials, picked by chance")
    differences: BacktestDifferences | None = Field(
        None, description="Null where the campaign decided nothing in that time"
    )
    not_considered: list[NotConsidered]
    read_to: datetime | None = Field(description="When the newest of the events was received")
    book_version: int
    seconds: float


class BacktestSummary(BaseModel):
    """A backtest, and how far it is: `events_done` of `events`."""

    backtest_id: UUID
    campaign_id: ObjectId
    version: int
    first_at: datetime = Field(serialization_alias="from")
    until_at: datetime = Field(serialization_alias="to")
    definitions: Definitions
    state: BacktestState
    asked_at: datetime
    begun_at: datetime | None
    ended_at: datetime | None
    events_done: int
    events: int | None
    error: str | None


class Backtest(BacktestSummary):
    """A backtest; `result` is null until it is done."""

    result: BacktestResult | None


@router.post("/backtests", status_code=202)
async def create_backtest(new: NewBacktest, request: Request, work: Posting, response: Response) -> BacktestSummary:
    """Find out what a campaign, a draft too, would have granted for past events, as if it had run then. Grants nothing.

    One runs at a time, up to ten wait. The key needs `facts:read` too.
    """
    check_scope(work.caller, FACTS)
    if find_app_state(request).user_queries is None:
        raise Retry("backtests are not set up here: the operator sets FILLIP_ANALYSE_KEY")
    now = datetime.now(UTC)
    until_at = new.until_at or now
    if until_at > now:
        raise Invalid("must not lie in the future", at="/to")
    if not new.first_at < until_at:
        raise Invalid("must lie before `to`", at="/from")
    if until_at - new.first_at > LONGEST:
        raise Invalid(f"must not lie more than {LONGEST.days} days before `to`", at="/from")
    if new.definitions == "recorded" and new.version:
        raise Invalid(
            "must not be given where `definitions` are recorded: those in force for each event are taken", at="/version"
        )
    campaign = await find_campaign(work.connection, work.caller, new.campaign_id)
    version = new.version or campaign.version
    asked = new.campaign_id, version, new.first_at
    row = await postgres.ask_backtest(work.connection, work.caller, *asked, until_at, new.definitions)
    response.headers["Location"] = f"/v1/backtests/{row.backtest_id}"
    return BacktestSummary.model_validate(row, from_attributes=True)


@router.get("/backtests")
async def list_backtests(
    work: Facts, pages: Pages, campaign_id: IdFilter = None, state: BacktestState | None = None
) -> Page[BacktestSummary]:
    """The backtests of the last 90 days, the newest first, without their results."""
    sift = {"campaign_id": campaign_id, "state": state}
    return answer_page(BacktestSummary, await postgres.list_backtests(work.connection, work.caller, pages, sift))


@router.get("/backtests/{backtest_id}")
async def read_backtest(work: Facts, backtest_id: UUID) -> Backtest:
    """How far a backtest is, and what came of it."""
    row = await postgres.find_backtest(work.connection, work.caller, backtest_id)
    return Backtest.model_validate(row, from_attributes=True)


@router.delete("/backtests/{backtest_id}", status_code=204)
async def delete_backtest(work: Writing, backtest_id: UUID) -> None:
    """Forget a backtest; one that waits or runs is cancelled."""
    await postgres.delete_backtest(work.connection, work.caller, backtest_id)
