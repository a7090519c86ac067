"""Quest progress: how far users have come."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from fillip.core.quest.instance import QuestState
from fillip.http.filters import IdFilter
from fillip.http.page import Page, Pages, answer_page
from fillip.manage.merge.postgres import share_user
from fillip.manage.quest import postgres
from fillip.manage.request.route import Reading, Route

router = APIRouter(tags=["quests"], route_class=Route)


class StepProgress(BaseModel):
    """How far a step is, of how far it must come."""

    name: str = Field(examples=["visit"])
    done: int = Field(description="Events, the sum so far, or days or weeks in a row")
    needed: int


class ProgressAnswer(BaseModel):
    """One instance of a quest; `state` is as of now. Events dated until `ends_at` count; null is without end."""

    campaign_id: str = Field(examples=["three-visits"])
    name: str = Field(description="The campaign's", examples=["Three visits in a week"])
    campaign_version: int = Field(description="The version that it was under at its last event")
    user_id: str = Field(examples=["ada"])
    instance_key: str = Field(
        description="id@key of the event that opened it, or the value of its key; empty for one a user"
    )
    occurrence: int = Field(description="1 is the user's first instance of this key")
    state: QuestState
    started_at: datetime
    ends_at: datetime | None
    start_event_id: str | None
    start_event_source: str | None
    steps: list[StepProgress]
    revision: int = Field(description="Grows with each change of the instance: of two states the higher one is newer")
    updated_at: datetime


@router.get("/quests/progress", name="list_quest_progress")
async def list_progress(
    work: Reading, pages: Pages, user_id: IdFilter = None, campaign_id: IdFilter = None
) -> Page[ProgressAnswer]:
    """Instances by campaign, user, key and occurrence."""
    wanted = {"user_id": user_id, "campaign_id": campaign_id}
    return answer_page(ProgressAnswer, await postgres.list_instances(work.connection, work.caller, wanted, pages))


@router.get("/users/{user_id}/quests", tags=["users"])
async def list_user_quests(
    work: Reading, pages: Pages, user_id: str, campaign_id: IdFilter = None
) -> Page[ProgressAnswer]:
    """A user's instances by campaign, key and occurrence: what an app needs to draw progress bars."""
    return await list_progress(work, pages, await share_user(work.connection, work.caller, user_id), campaign_id)
