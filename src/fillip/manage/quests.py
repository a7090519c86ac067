"""Quest progress: how far users have come."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import Row, select

from fillip.core.quest import QuestState
from fillip.manage.decisions import Asked
from fillip.manage.paging import Page, Pages, read_page
from fillip.manage.route import Reading, Route
from fillip.manage.tables import campaign_version, quest_instance

router = APIRouter(prefix="/quests", tags=["quests"], route_class=Route)


class StepProgress(BaseModel):
    """How often a step was met, of how often it must be."""

    name: str = Field(examples=["visit"])
    met: int
    needed: int


class ProgressAnswer(BaseModel):
    """One instance of a quest; an `open` one past `ends_at` lapses at the user's next event."""

    campaign_id: str = Field(examples=["three-visits"])
    campaign_version: int
    user_id: str = Field(examples=["ada"])
    occurrence: int = Field(description="1 is the user's first instance of this quest")
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
    """Instances by campaign, user and occurrence."""
    instance, version = quest_instance.c, campaign_version.c
    same = (version.tenant_id == instance.tenant_id) & (version.campaign_id == instance.campaign_id)
    statement = (
        select(quest_instance, version.definition)
        .join(campaign_version, same & (version.version == instance.campaign_version))
        .where(instance.tenant_id == work.caller.tenant_id)
    )
    if user_id is not None:
        statement = statement.where(instance.user_id == user_id)
    if campaign_id is not None:
        statement = statement.where(instance.campaign_id == campaign_id)
    order = [instance.campaign_id, instance.user_id, instance.occurrence]
    rows, cursor = await read_page(work.connection, statement, order, pages)
    return Page(items=[_describe(row) for row in rows], next_cursor=cursor)


def _describe(row: Row[Any]) -> ProgressAnswer:
    steps = [
        StepProgress(name=step["name"], met=met, needed=step["count"])
        for step, met in zip(row.definition["quest"]["steps"], row.counts, strict=True)
    ]
    fields = {name: row._mapping[name] for name in ProgressAnswer.model_fields if name != "steps"}
    return ProgressAnswer(steps=steps, **fields)
