"""Quest progress: how far users have come."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import select

from fillip.core.instance import QuestState
from fillip.manage.decisions import Asked
from fillip.manage.paging import Page, Pages, read_page
from fillip.manage.route import Reading, Route
from fillip.manage.tables import quest_instance

router = APIRouter(prefix="/quests", tags=["quests"], route_class=Route)


class StepProgress(BaseModel):
    """How far a step is, of how far it must come."""

    name: str = Field(examples=["visit"])
    done: int = Field(description="Events, the sum so far, or days or weeks in a row")
    needed: int


class ProgressAnswer(BaseModel):
    """One instance of a quest; an `open` one past `ends_at` lapses at the user's next event."""

    campaign_id: str = Field(examples=["three-visits"])
    campaign_version: int
    user_id: str = Field(examples=["ada"])
    instance_key: str = Field(description="The event that opened it, or the value of its key; empty for one a user")
    occurrence: int = Field(description="1 is the user's first instance of this key")
    state: QuestState
    started_at: datetime
    ends_at: datetime | None
    start_event_id: str | None
    steps: list[StepProgress]
    updated_at: datetime


@router.get("/progress")
async def list_progress(
    work: Reading, pages: Pages, user_id: Asked = None, campaign_id: Asked = None
) -> Page[ProgressAnswer]:
    """Instances by campaign, user, key and occurrence."""
    instance = quest_instance.c
    statement = select(quest_instance).where(instance.tenant_id == work.caller.tenant_id)
    if user_id is not None:
        statement = statement.where(instance.user_id == user_id)
    if campaign_id is not None:
        statement = statement.where(instance.campaign_id == campaign_id)
    order = [instance.campaign_id, instance.user_id, instance.instance_key, instance.occurrence]
    rows, cursor = await read_page(work.connection, statement, order, pages)
    return Page(items=[ProgressAnswer.model_validate(row, from_attributes=True) for row in rows], next_cursor=cursor)
