"""What a campaign decides hour by hour, as it happens."""

from datetime import datetime, timedelta

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from fillip.core.errors import Retry
from fillip.core.live import HourSums
from fillip.manage.campaign.postgres import find_campaign
from fillip.manage.decision.postgres import has_decided
from fillip.manage.request.route import Reading, Route, find_app_state

router = APIRouter(tags=["campaigns"], route_class=Route)

SURELY_TOLD = timedelta(seconds=10)
"""A decision that is older than what was counted until, by so much, is in the counts."""


class SpendAnswer(BaseModel):
    """What was granted of one kind and currency: minor units, points, or the value of the incentives; and what stands of it."""

    kind: str = Field(examples=["cashback"])
    currency: str | None = Field(examples=["EUR"])
    value: int = Field(description="As granted")
    reversed: int = Field(description="What reversals have really taken back of `value` since, whenever they did")
    net: int = Field(description="`value` - `reversed`")


class HourAnswer(BaseModel):
    """What was decided in one hour, by the clock (UTC), and what is reversed of it; expiry takes nothing of it."""

    starts_at: datetime
    granted: int = Field(description="Decisions")
    denied: int = Field(description="Decisions")
    spend: list[SpendAnswer]


class LiveAnswer(BaseModel):
    """The hours in which the campaign decided anything, the newest first."""

    since: datetime = Field(description="From this hour on all are here: a day, or less where a tenant has very many")
    as_of: datetime = Field(description="All that was committed until then is counted")
    hours: list[HourAnswer]


@router.get("/campaigns/{campaign_id}/live")
async def read_live(request: Request, work: Reading, campaign_id: str) -> LiveAnswer:
    """What a campaign granted and denied in each hour of the last day, about a second behind; as the ledger has it."""
    await find_campaign(work.connection, work.caller, campaign_id)
    counts = find_app_state(request).live
    if counts is None:
        raise Retry("this API was started without Valkey, where the live hours are")
    found = await counts.read(work.caller.tenant_id, campaign_id)
    until = found.as_of - SURELY_TOLD
    if not found.hours and await has_decided(work.connection, work.caller, campaign_id, found.since, until):
        raise Retry("the live hours of this campaign were thrown away and are being written anew: try again soon")
    hours = [_answer_hour(starts_at, sums) for starts_at, sums in found.hours.items()]
    return LiveAnswer(since=found.since, as_of=found.as_of, hours=hours)


def _answer_hour(starts_at: datetime, sums: HourSums) -> HourAnswer:
    spend = []
    for name, value in sorted(sums.spend.items()):
        (kind, currency), taken = name.split(":", 1), sums.reversed.get(name, 0)
        spend.append(SpendAnswer(kind=kind, currency=currency or None, value=value, reversed=taken, net=value - taken))
    return HourAnswer(starts_at=starts_at, granted=sums.granted, denied=sums.denied, spend=spend)
