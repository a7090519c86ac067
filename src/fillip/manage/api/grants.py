"""Grants by hand: the rewards of a campaign for one user, with a reason, without its rule and schedule and within its limits."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field

from fillip.core.by_hand import BY, GRANT
from fillip.core.campaign.campaign import Campaign
from fillip.core.campaign.formula import MAX_VALUE
from fillip.core.match.limit_charges import list_charges
from fillip.core.match.reward_values import value_rewards
from fillip.core.ports import Caller
from fillip.core.problem import Fault
from fillip.core.rule import RuleError
from fillip.http.errors import Conflict, Invalid
from fillip.http.fields import ObjectId, OwnId, Part, Reason, UserId, give_examples
from fillip.manage.api.orders import find_launched, place_order
from fillip.manage.api.outcomes import OutcomeAnswer, find_outcome, point_at, put_off
from fillip.manage.campaign.definition import read_definition
from fillip.manage.request.own_event import OwnEvent, decide_own, is_known
from fillip.manage.request.route import Route, find_app_state, find_unit_of_work, require
from fillip.manage.store.postgres import Connection, transaction

_CHANGED = "the campaign, or a limit of it, was changed while the grant was under way, so nothing was granted: ask for it again"
router = APIRouter(prefix="/grants", tags=["grants"], route_class=Route)


class ValuePart(Part):
    """What a reward is worth whose value the campaign has by a formula: there is no event that it could follow from."""

    reward_index: int = Field(ge=0, le=100, strict=True)
    value: int = Field(
        ge=1, le=MAX_VALUE, strict=True, description="In the unit of the reward, at most its formula's `max`"
    )


class GrantPart(Part):
    """A grant by hand; the same `grant_id` again grants nothing more, and is answered as before."""

    model_config = give_examples(
        {"grant_id": "ticket-812", "user_id": "ada", "campaign_id": "welcome", "reason": "the parcel came late"},
        {
            "grant_id": "ticket-813",
            "user_id": "ada",
            "campaign_id": "two-percent",
            "reason": "paid in cash",
            "values": [{"reward_index": 0, "value": 120}],
        },
    )

    grant_id: OwnId
    user_id: UserId
    campaign_id: ObjectId
    reason: Reason
    values: list[ValuePart] = Field([], max_length=10)


@router.post("", responses={202: {"model": OutcomeAnswer, "description": "Not decided yet"}})
async def grant_by_hand(
    caller: Annotated[Caller, require("manage:write")], body: GrantPart, request: Request, response: Response
) -> OutcomeAnswer:
    """Give a user the rewards of a launched SIMPLE campaign, whatever its rule, schedule and cohorts say, within its limits.

    It is decided in the order of the log, like any event; a limit without room refuses it, and so do a holdout and a control. Answered when
    it is decided, 202 where that takes more than 2 seconds. 409 where the campaign is not launched, where a limit counts by a part of the
    event, or where the same `grant_id` was asked for with another body; 422 of a quest, and where a reward's value is missing.
    """
    app_state, data = find_app_state(request), body.model_dump(exclude={"grant_id", "user_id"})
    own = OwnEvent(GRANT, body.grant_id, body.user_id, data | {BY: str(caller.key_id)})
    async with transaction(app_state.engine, caller) as connection:
        known = await is_known(connection, caller, own, "/grant_id")
        if not known:
            await _require_grantable(connection, caller, body, own)
    if not known and not await decide_own(app_state, caller, own, "/grant_id"):
        response.status_code = 202
        return put_off(own, body.campaign_id)
    work = find_unit_of_work(request)
    await work.open(app_state.engine, caller)
    return await find_outcome(work, own) or OutcomeAnswer(
        state="refused", reason="changed", message=_CHANGED, campaign_id=body.campaign_id, see=point_at(own)
    )


async def _require_grantable(connection: Connection, caller: Caller, body: GrantPart, own: OwnEvent) -> None:
    """Raise Conflict or Invalid, with the cure, where the campaign can't be granted by hand now: then it takes no id either."""
    row = await find_launched(connection, caller, body.campaign_id)
    campaign = read_definition(row)
    if campaign.quest:
        raise Invalid("the rewards of a QUEST follow from its steps: take a SIMPLE campaign", at="/campaign_id")
    if faults := _find_wrong_values(campaign, body):
        raise Invalid("the values do not go with the rewards: see errors", faults=faults)
    context = await place_order(connection, caller, row, own)
    event, campaign_version = context.event, context.campaign_version
    worth = value_rewards(event, campaign_version, context.user, context.cohorts)
    if worth.refused == "expired":
        raise Conflict("a reward of the campaign has expired: change its date first", at="/campaign_id")
    if worth.refused:
        raise Invalid("a reward's value would follow from the event: give it as {reward_index, value}", at="/values")
    try:
        list_charges(event, campaign_version, worth.values, context.user, context.cohorts)
    except RuleError as error:
        raise Conflict(f"{error}: take a campaign that no such limit is for", at="/campaign_id") from None


def _find_wrong_values(campaign: Campaign, body: GrantPart) -> list[Fault]:
    """Values of rewards that have one of their own, or that are not there, that stand twice, or are too large."""
    faults, known = [], set[int]()
    for place, each in enumerate(body.values):
        at = f"/values/{place}"
        formula = campaign.rewards[each.reward_index].formula if each.reward_index < len(campaign.rewards) else None
        if formula is None:
            faults.append(
                Fault(f"{at}/reward_index", "there is no such reward with a formula: the campaign says its value")
            )
        elif each.reward_index in known:
            faults.append(Fault(f"{at}/reward_index", "its value stands here twice"))
        elif formula.max is not None and each.value > formula.max:
            faults.append(Fault(f"{at}/value", f"at most {formula.max}, as its formula says"))
        known.add(each.reward_index)
    return faults
