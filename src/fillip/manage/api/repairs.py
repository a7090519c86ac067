"""Repairs of streaks: a missed day counts as if it had been met, once for each instance of a quest, with a reason."""

from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from fillip.core.by_hand import BY
from fillip.core.identity import identify_event
from fillip.core.match.limit_charges import list_charges
from fillip.core.ports import Caller
from fillip.core.repair import REPAIR
from fillip.core.rule import RuleError
from fillip.http.errors import Conflict, Invalid, NotFound
from fillip.http.fields import Day, ObjectId, OwnId, Part, Reason, UserId, give_examples
from fillip.http.paging import Paging
from fillip.manage.api.orders import find_launched, place_order
from fillip.manage.api.outcomes import OutcomeAnswer, find_outcome, point_at, put_off
from fillip.manage.api.quests import ProgressAnswer, describe_progress
from fillip.manage.backfill.postgres import find_backfill
from fillip.manage.campaign.definition import read_definition
from fillip.manage.quest.postgres import find_given, list_instances
from fillip.manage.request.own_event import OwnEvent, decide_own, is_known
from fillip.manage.request.route import Route, UnitOfWork, find_app_state, find_unit_of_work, require
from fillip.manage.store.postgres import Connection, transaction

_CHANGED = "the campaign, or a limit of it, was changed while the repair was under way, so nothing was repaired: ask for it again"
router = APIRouter(prefix="/quest-repairs", tags=["quests"], route_class=Route)


class RepairPart(Part):
    """A repair; the same `repair_id` again repairs nothing more, and is answered as before.

    `instance_key` and `occurrence` are those of the [progress](#tag/quests); without an occurrence it is the newest of the key.
    """

    model_config = give_examples(
        {
            "repair_id": "ticket-815",
            "user_id": "ada",
            "campaign_id": "seven-days",
            "step": "come",
            "day": "2026-06-19",
            "reason": "the app was down",
        }
    )

    repair_id: OwnId
    user_id: UserId
    campaign_id: ObjectId
    step: str = Field(min_length=1, max_length=100, examples=["come"])
    day: Day = Field(description="The missed one, in the quest's `zone`; of weeks any day")
    reason: Reason
    instance_key: str = Field("", max_length=400)
    occurrence: int | None = Field(None, ge=1, le=2**31 - 1, strict=True)


class RepairAnswer(BaseModel):
    """What came of it: `repaired`, with the instance as it stands now and, where the day completed the quest, its `outcome`; `refused`
    with the reason; or `pending`: ask for the same again.
    """

    state: Literal["repaired", "refused", "pending"]
    reason: str = Field(
        description="repaired, pending, or why not: no_instance, already_repaired, instance_over, no_streak, step_not_waiting, outside_window"
        ", day_not_over, too_far_back, already_counted, joins_nothing, no_value, paused, holdout or control"
    )
    message: str
    campaign_id: str
    progress: ProgressAnswer | None = None
    outcome: OutcomeAnswer | None = None
    see: str


@router.post("", responses={202: {"model": RepairAnswer, "description": "Not decided yet"}})
async def repair_streak(
    caller: Annotated[Caller, require("manage:write")], body: RepairPart, request: Request, response: Response
) -> RepairAnswer:
    """Let a day that a user's streak has missed count as if it had been met, once for each instance of the quest.

    It is decided in the order of the log, like any event: the days on both sides of it are joined, and where that completes the quest its
    rewards are granted within the limits. Answered when it is decided, 202 where that takes more than 2 seconds. 409 where the campaign is
    not launched or its backfill is not done, where a limit counts by a part of the event, or where the same `repair_id` was asked for with
    another body; 422 of what is no quest, or of a step that has no streak.
    """
    app_state, data = find_app_state(request), body.model_dump(mode="json", exclude={"repair_id", "user_id"})
    own = OwnEvent(REPAIR, body.repair_id, body.user_id, data | {BY: str(caller.key_id)})
    async with transaction(app_state.engine, caller) as connection:
        known = await is_known(connection, caller, own, "/repair_id")
        if not known:
            await _require_repairable(connection, caller, body, own)
    if not known and not await decide_own(app_state, caller, own, "/repair_id"):
        response.status_code = 202
        told = put_off(own, body.campaign_id)
        return RepairAnswer(
            state="pending", reason="pending", message=told.message, campaign_id=body.campaign_id, see=told.see
        )
    work = find_unit_of_work(request)
    await work.open(app_state.engine, caller)
    return await _tell(work, own, body.campaign_id)


async def _tell(work: UnitOfWork, own: OwnEvent, campaign_id: str) -> RepairAnswer:
    key = identify_event(work.caller.tenant_id, own.action, own.own_id)
    outcome = await find_outcome(work, own)
    given = await find_given(work.connection, work.caller, key)
    if given is None:
        reason, message = (outcome.reason, outcome.message) if outcome else ("changed", _CHANGED)
        return RepairAnswer(state="refused", reason=reason, message=message, campaign_id=campaign_id, see=point_at(own))
    place = {name: given._mapping[name] for name in ("campaign_id", "user_id", "instance_key", "occurrence")}
    rows, _ = await list_instances(work.connection, work.caller, place, Paging(1, None))
    [progress] = await describe_progress(work, rows)
    step = next(each for each in progress.steps if each.name == given.step)
    return RepairAnswer(
        state="repaired",
        reason="repaired",
        message=f"{given.day} counts for {progress.user_id}'s streak, which is {step.done} of {step.needed} now",
        campaign_id=campaign_id,
        progress=progress,
        outcome=outcome,
        see=point_at(own),
    )


async def _require_repairable(connection: Connection, caller: Caller, body: RepairPart, own: OwnEvent) -> None:
    """Raise Conflict or Invalid, with the cure, where nothing of the campaign can be repaired now: then it takes no id either."""
    row = await find_launched(connection, caller, body.campaign_id)
    campaign = read_definition(row)
    if campaign.quest is None:
        raise Invalid("a SIMPLE campaign has no streaks: take a QUEST", at="/campaign_id")
    streaks = [step.name for step in campaign.quest.steps if step.streak]
    if body.step not in streaks and not row.kept:  # instances that are kept may have others
        named = f": take one of {', '.join(streaks)}" if streaks else ", nor has another of the quest"
        raise Invalid(f"step '{body.step}' has no streak{named}", at="/step")
    await _require_handed_over(connection, caller, body.campaign_id)
    context = await place_order(connection, caller, row, own)
    try:
        list_charges(context.event, context.campaign_version, context.campaign_version.values, {}, frozenset())
    except RuleError as error:
        raise Conflict(f"{error}: no streak of this campaign can be repaired", at="/campaign_id") from None


async def _require_handed_over(connection: Connection, caller: Caller, campaign_id: str) -> None:
    """Raise Conflict while a backfill decides what came before: it may still make the instance."""
    try:
        backfill = await find_backfill(connection, caller, campaign_id)
    except NotFound:
        return
    if backfill.handed_over_at is None:
        raise Conflict(f"the backfill of campaign '{campaign_id}' is not done: wait for it", at="/campaign_id")
