"""What a campaign decides hour by hour, as it happens."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from fillip.core.errors import Retry
from fillip.core.live import HourSums, SeenEvents
from fillip.core.ports import Caller
from fillip.manage.campaign.postgres import find_campaign
from fillip.manage.decision.postgres import has_decided
from fillip.manage.request.route import Route, find_app_state, require
from fillip.manage.store.postgres import transaction

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
    seen: int | None = Field(
        description="Events of its actions that were received in the hour while its state and schedule let it look at them,"
        " each once; null where that can't be told now"
    )
    granted: int = Field(description="Decisions")
    denied: int = Field(description="Decisions")
    spend: list[SpendAnswer]


class LiveAnswer(BaseModel):
    """The hours in which the campaign saw or decided anything, the newest first."""

    since: datetime = Field(description="From this hour on all are here: a day, or less where a tenant has very many")
    as_of: datetime = Field(description="All that was committed until then is counted")
    seen_as_of: datetime | None = Field(
        description="All events that were settled until then are in `seen`; null where it is null"
    )
    hours: list[HourAnswer]


@router.get("/campaigns/{campaign_id}/live")
async def read_live_hours(
    request: Request, caller: Annotated[Caller, require("manage:read")], campaign_id: str
) -> LiveAnswer:
    """What a campaign saw, granted and denied in each hour of the last day; decisions about a second behind, as the ledger has them."""
    app_state = find_app_state(request)
    async with transaction(app_state.engine, caller) as connection:
        await find_campaign(connection, caller, campaign_id)
        if app_state.live is None:
            raise Retry("this API was started without Valkey, where the live hours are")
        found = await app_state.live.read(caller.tenant_id, campaign_id)
        until = found.as_of - SURELY_TOLD
        if not found.hours and await has_decided(connection, caller, campaign_id, found.since, until):
            raise Retry("the live hours of this campaign were thrown away and are being written anew: try again soon")
    seen = await app_state.seen.read(caller, campaign_id, found.since) if app_state.seen else None
    hours = [
        _answer_hour(starts_at, found.hours.get(starts_at, HourSums()), seen)
        for starts_at in sorted(found.hours.keys() | (seen.hours.keys() if seen else ()), reverse=True)
    ]
    return LiveAnswer(since=found.since, as_of=found.as_of, seen_as_of=seen.as_of if seen else None, hours=hours)


def _answer_hour(starts_at: datetime, sums: HourSums, seen: SeenEvents | None) -> HourAnswer:
    spend = []
    for name, value in sorted(sums.spend.items()):
        (kind, currency), taken = name.split(":", 1), sums.reversed.get(name, 0)
        spend.append(SpendAnswer(kind=kind, currency=currency or None, value=value, reversed=taken, net=value - taken))
    told = seen.hours.get(starts_at, 0) if seen else None
    return HourAnswer(starts_at=starts_at, seen=told, granted=sums.granted, denied=sums.denied, spend=spend)
