"""Hot campaigns, and the users that a campaign decides on most right now."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from fillip.core.errors import Retry
from fillip.core.hot import HotTerms
from fillip.core.ports import Caller
from fillip.http.fields import ObjectId
from fillip.manage.campaign.postgres import find_campaign
from fillip.manage.decision.postgres import tally_users
from fillip.manage.request.route import Reading, Route, find_app_state, require

router = APIRouter(tags=["campaigns"], route_class=Route)


class HotCampaignAnswer(BaseModel):
    """A campaign that is hot: since when without a break, and until when at least."""

    campaign_id: ObjectId
    since: datetime
    until: datetime


class HotCampaignsAnswer(BaseModel):
    """All campaigns that are hot now, the longest hot first."""

    threshold: int = Field(description="Events in a window from which on a campaign is hot", examples=[5_000])
    window_s: int = Field(examples=[600])
    campaigns: list[HotCampaignAnswer]


class TopUser(BaseModel):
    """A user, and how many decisions of the campaign were on them."""

    user_id: str = Field(examples=["ada"])
    decisions: int


class TopUsersAnswer(BaseModel):
    """The users with most decisions, granted or denied, since an instant: up to 100, the most first."""

    hot: bool | None = Field(description="Whether the campaign is hot; null: it can't be told, Valkey is away")
    source: Literal["live", "ledger"] = Field(
        description="live: counted by the workers, of a hot campaign; ledger: counted of the stored decisions, exactly"
    )
    since: datetime = Field(description="From where on was counted: the window before, or later")
    over: int = Field(description="By how much a number may be too high; 0: exact. None is too low")
    users: list[TopUser]


@router.get("/hot-campaigns")
async def list_hot_campaigns(request: Request, caller: Annotated[Caller, require("manage:read")]) -> HotCampaignsAnswer:
    """Which campaigns are hot: more events met them in a window than the threshold, as all workers counted."""
    hot = find_app_state(request).hot
    if hot is None:
        raise Retry("this API was started without Valkey, where hot campaigns are counted")
    terms, found = hot.terms, await hot.list_hot(caller.tenant_id)
    campaigns = [HotCampaignAnswer.model_validate(each, from_attributes=True) for each in found]
    return HotCampaignsAnswer(threshold=terms.threshold, window_s=terms.window_s, campaigns=campaigns)


@router.get("/campaigns/{campaign_id}/top-users")
async def list_top_users(request: Request, work: Reading, campaign_id: str) -> TopUsersAnswer:
    """Whom a campaign decides on most right now; of a cold one as the ledger has it, of a hot one as the workers counted."""
    await find_campaign(work.connection, work.caller, campaign_id)
    hot = find_app_state(request).hot
    terms, live, is_hot = hot.terms if hot else HotTerms(), None, None
    if hot is not None:
        with suppress(Retry):  # the ledger answers then
            live = await hot.find_users(work.caller.tenant_id, campaign_id)
            is_hot = live is not None
    source: Literal["live", "ledger"] = "live" if live else "ledger"
    if live is None:
        since = datetime.fromtimestamp(terms.start_before(datetime.now(UTC).timestamp()), UTC)
        live = await tally_users(work.connection, work.caller, campaign_id, since)
    users = [TopUser.model_validate(each, from_attributes=True) for each in live.users]
    return TopUsersAnswer(hot=is_hot, source=source, since=live.since, over=live.over, users=users)
