"""Quest progress: how far users have come."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from fillip.core.by_hand import BY
from fillip.core.quest.instance import QuestState
from fillip.http.filters import IdFilter
from fillip.http.page import Page, Pages
from fillip.manage.merge.postgres import share_user
from fillip.manage.quest import postgres
from fillip.manage.request.route import Reading, Route, UnitOfWork

QuestFilter = Annotated[QuestState | None, Query(description="As of now")]
router = APIRouter(tags=["quests"], route_class=Route)


class StepProgress(BaseModel):
    """How far a step is, of how far it must come."""

    name: str = Field(examples=["visit"])
    done: int = Field(description="Events, the sum so far, or days or weeks in a row")
    needed: int


class RepairTold(BaseModel):
    """A day of a streak that counts as if it had been met: who asked for that, why, and when."""

    repair_id: str = Field(examples=["ticket-815"])
    step: str = Field(examples=["visit"])
    day: date
    reason: str
    key_id: UUID | None
    repaired_at: datetime


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
    repair: RepairTold | None = Field(None, description="Of a streak of it, until its user is erased")
    revision: int = Field(description="Grows with each change of the instance: of two states the higher one is newer")
    updated_at: datetime


@router.get("/quests/progress", name="list_quest_progress")
async def list_progress(
    work: Reading,
    pages: Pages,
    user_id: IdFilter = None,
    campaign_id: IdFilter = None,
    state: QuestFilter = None,
) -> Page[ProgressAnswer]:
    """Instances by campaign, user, key and occurrence."""
    wanted = {"user_id": user_id, "campaign_id": campaign_id}
    rows, cursor = await postgres.list_instances(work.connection, work.caller, wanted, pages, state)
    return Page(items=await describe_progress(work, rows), next_cursor=cursor)


@router.get("/users/{user_id}/quests", tags=["users"])
async def list_user_quests(
    work: Reading, pages: Pages, user_id: str, campaign_id: IdFilter = None, state: QuestFilter = None
) -> Page[ProgressAnswer]:
    """A user's instances by campaign, key and occurrence: what an app needs to draw progress bars."""
    owner = await share_user(work.connection, work.caller, user_id)
    return await list_progress(work, pages, owner, campaign_id, state)


async def describe_progress(work: UnitOfWork, rows: Sequence[postgres.QuestRow]) -> list[ProgressAnswer]:
    """Instances, each with the repair of its streak."""
    repairs = await postgres.list_repairs(work.connection, work.caller, rows)
    return [ProgressAnswer(**row._mapping, repair=_find_repair(row, repairs)) for row in rows]


def _find_repair(row: postgres.QuestRow, repairs: dict[UUID, postgres.QuestRow]) -> RepairTold | None:
    keys = (UUID(step["repaired_by"]) for step in row.steps if "repaired_by" in step)
    found = next((repairs[key] for key in keys if key in repairs), None)
    if found is None:
        return None
    said = found.attributes
    return RepairTold(
        repair_id=found.event_id,
        step=said["step"],
        day=said["day"],
        reason=said["reason"],
        key_id=said.get(BY),
        repaired_at=found.received_at,
    )
