"""The story of one event: seen when, by which campaigns looked at, what each decided, and why all others did not."""

from typing import Annotated

from fastapi import APIRouter, Request

from fillip.core.ports import Caller
from fillip.http import cursor as cursors
from fillip.http.fields import OwnId, Source
from fillip.http.page import Pages
from fillip.manage.request.route import Route, find_app_state, find_unit_of_work, require
from fillip.manage.story.answer import StoryAnswer
from fillip.manage.story.finding import Finding
from fillip.manage.story.postgres import name_event
from fillip.manage.story.telling import tell_story

router = APIRouter(tags=["explain"], route_class=Route)


@router.get("/events/{source}/{event_id}")
async def read_story(
    request: Request, caller: Annotated[Caller, require("manage:read")], source: Source, event_id: OwnId, pages: Pages
) -> StoryAnswer:
    """What became of an event, whatever that is: decided, without effect, rejected, or refused at the door.

    For 24 hours; what is recorded is told as long as it stands. Each is one segment of the path, percent-encoded: a `/` is `%2F`. `limit` and
    `cursor` are of `campaigns`. What came just now and met nothing takes a second or two to be found: the answer waits for it, so that a 404
    means that nothing of this name came.
    """
    app_state = find_app_state(request)
    after = "" if pages.cursor is None else cursors.read_cursor(pages.cursor, [str])[0]
    finding = Finding(app_state.engine, app_state.refused, app_state.received)
    found = await finding.find(caller, name_event(caller, source, event_id))
    work = find_unit_of_work(request)
    await work.open(app_state.engine, caller)
    return await tell_story(work, found, after=after, most=pages.limit)
