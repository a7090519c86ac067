"""Quest progress: how far users have come."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import and_, case, func, literal, select

from fillip.core.quest.instance import QuestState
from fillip.http.fields import IdFilter
from fillip.http.paging import Page, Pages, Paging
from fillip.manage.campaign.open_instances import LATENESS_S, _definition
from fillip.manage.request.route import Reading, Route, UnitOfWork
from fillip.manage.store.keyset import read_page
from fillip.manage.store.tables import campaign_version, quest_instance, tenant

router = APIRouter(tags=["quests"], route_class=Route)

_is_own_version = and_(
    *(campaign_version.c[name] == quest_instance.c[name] for name in ("tenant_id", "campaign_id")),
    campaign_version.c.version == quest_instance.c.campaign_version,
)
_is_over = func.now() > quest_instance.c.ends_at + func.make_interval(0, 0, 0, 0, 0, 0, LATENESS_S)
_SHOWN = case(
    (and_(tenant.c.clock == "live", quest_instance.c.state == "open", _is_over), literal("lapsed")),
    else_=quest_instance.c.state,
)
"""The state as of now: in a live tenant nothing more can come for an open instance that is over."""


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


@router.get("/quests/progress")
async def list_progress(
    work: Reading, pages: Pages, user_id: IdFilter = None, campaign_id: IdFilter = None
) -> Page[ProgressAnswer]:
    """Instances by campaign, user, key and occurrence."""
    return await _list(work, pages, {"user_id": user_id, "campaign_id": campaign_id})


@router.get("/users/{user_id}/quests", tags=["users"])
async def list_user_quests(
    work: Reading, pages: Pages, user_id: str, campaign_id: IdFilter = None
) -> Page[ProgressAnswer]:
    """A user's instances by campaign, key and occurrence: what an app needs to draw progress bars."""
    return await _list(work, pages, {"user_id": user_id, "campaign_id": campaign_id})


async def _list(work: UnitOfWork, pages: Paging, wanted: dict[str, str | None]) -> Page[ProgressAnswer]:
    instance = quest_instance.c
    asked = [instance[name] == value for name, value in wanted.items() if value is not None]
    columns = [column for column in instance if column.name != "state"]
    statement = (
        select(*columns, _SHOWN.label("state"), _definition["name"].astext.label("name"))
        .join(campaign_version, _is_own_version)
        .join(tenant, tenant.c.tenant_id == instance.tenant_id)
        .where(instance.tenant_id == work.caller.tenant_id, *asked)
    )
    order = [instance.campaign_id, instance.user_id, instance.instance_key, instance.occurrence]
    rows, cursor = await read_page(work.connection, statement, order, pages)
    return Page(items=[ProgressAnswer.model_validate(row, from_attributes=True) for row in rows], next_cursor=cursor)
