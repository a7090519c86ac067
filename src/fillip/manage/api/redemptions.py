"""Public codes: what anybody may enter, redeemed for a user by the campaign that was launched with it."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from fillip.core.errors import Unreadable
from fillip.core.ports import Caller
from fillip.core.problem import Fault
from fillip.core.quota import WRONG_CODES_PER_S
from fillip.core.redemption import REDEMPTION
from fillip.http.errors import Guessing, Invalid
from fillip.http.fields import OwnId, Part, UserId, give_examples
from fillip.manage.api.claims import TypedCode
from fillip.manage.api.explain import ExplainPart, explain_event
from fillip.manage.api.outcomes import OutcomeAnswer, find_outcome, point_at, put_off
from fillip.manage.campaign.codes_postgres import find_by_code
from fillip.manage.explain.answer import WorthAnswer
from fillip.manage.request.own_event import OwnEvent, decide_own, is_known
from fillip.manage.request.route import (
    AppState,
    Route,
    UnitOfWork,
    begin,
    find_app_state,
    find_unit_of_work,
    require,
)
from fillip.manage.store.postgres import transaction

UNKNOWN = "no campaign has this code"
_MET_NOTHING = "it met nothing when it was decided, and would now: ask for it again"
router = APIRouter(prefix="/redemptions", tags=["codes"], route_class=Route)
Sending = Annotated[Caller, require("events:write")]


class TrialPart(Part):
    """A code that a user enters, and what tells of the cart, as the schema of `fillip.redemption` has it."""

    model_config = give_examples({"user_id": "ada", "code": "SPRING"})

    user_id: UserId
    code: TypedCode
    attributes: dict[str, Any] = Field(default_factory=dict)

    def read_data(self) -> dict[str, Any]:
        """The attributes of the event. Raises Invalid where they have a code of their own."""
        if "code" in self.attributes:
            raise Invalid("the code stands beside the attributes", at="/attributes/code")
        return self.attributes | {"code": self.code}


class RedemptionPart(TrialPart):
    """A code to be redeemed; the same `redemption_id` again redeems nothing more, and is answered as before."""

    model_config = give_examples({"redemption_id": "cart-4711", "user_id": "ada", "code": "SPRING"})

    redemption_id: OwnId


class TrialAnswer(BaseModel):
    """What a code would give as everything stands now; `rewards` where it is `redeemable`."""

    redeemable: bool
    reason: str
    message: str
    campaign_id: str | None
    rewards: list[WorthAnswer]


@router.post("", responses={202: {"model": OutcomeAnswer, "description": "Not decided yet"}})
async def redeem_code(caller: Sending, body: RedemptionPart, request: Request, response: Response) -> OutcomeAnswer:
    """Redeem a public code for a user: what it gives is decided in the order of the log, like any event, within its limits.

    Answered when it is decided; 202 where that takes more than 2 seconds. A code that is nobody's is answered without an event; who enters
    more than ten of these in ten seconds is answered 429. 409 where the same `redemption_id` was asked for with another body.
    """
    app_state = find_app_state(request)
    own = OwnEvent(REDEMPTION, body.redemption_id, body.user_id, body.read_data())
    async with transaction(app_state.engine, caller) as connection:
        known = await is_known(connection, caller, own, "/redemption_id")
        campaign_id = await find_by_code(connection, caller, body.code)
    if not known and campaign_id is None:
        await _count_wrong(app_state, caller, body.user_id)
        return OutcomeAnswer(
            state="refused", reason="unknown_code", message=UNKNOWN, campaign_id=None, see=point_at(own)
        )
    try:
        decided = known or await decide_own(app_state, caller, own, "/redemption_id")
    except Unreadable as error:
        at = f"/attributes{(error.at or '').removeprefix('/data')}"
        raise Invalid(str(error), faults=[Fault(at, str(error))]) from None
    if not decided:
        response.status_code = 202
        return put_off(own, campaign_id)
    work = find_unit_of_work(request)
    await work.open(app_state.engine, caller)
    return await find_outcome(work, own) or await _explain_unmet(work, campaign_id or "", own)


@router.post("/check")
async def check_code(
    work: Annotated[UnitOfWork, begin("events:write", writes=False)], body: TrialPart, request: Request
) -> TrialAnswer:
    """What a code would give a user now; nothing is redeemed, and nothing is taken or set aside."""
    data = body.read_data()
    campaign_id = await find_by_code(work.connection, work.caller, body.code)
    if campaign_id is None:
        await _count_wrong(find_app_state(request), work.caller, body.user_id)
        return TrialAnswer(redeemable=False, reason="unknown_code", message=UNKNOWN, campaign_id=None, rewards=[])
    told = await explain_event(work, campaign_id, ExplainPart(user_id=body.user_id, action=REDEMPTION, attributes=data))
    worth = next((check.rewards for check in told.checks if check.check == "reward"), None) or []
    granted = told.outcome == "granted"
    return TrialAnswer(
        redeemable=granted,
        reason=told.reason,
        message=told.summary,
        campaign_id=campaign_id,
        rewards=worth if granted else [],
    )


async def _explain_unmet(work: UnitOfWork, campaign_id: str, own: OwnEvent) -> OutcomeAnswer:
    """Why a redemption met nothing, as everything stands now: a moment later."""
    part = ExplainPart(user_id=own.user_id, action=REDEMPTION, attributes=dict(own.data))
    told = await explain_event(work, campaign_id, part)
    changed = told.outcome == "granted"
    return OutcomeAnswer(
        state="refused",
        reason="changed" if changed else told.reason,
        message=_MET_NOTHING if changed else told.summary,
        campaign_id=campaign_id,
        see=point_at(own),
    )


async def _count_wrong(app_state: AppState, caller: Caller, user_id: str) -> None:
    """Raise Guessing where a user has entered too many codes that are nobody's."""
    if app_state.rates is not None:
        whose = f"{caller.tenant_id}/{user_id}"
        taking = await app_state.rates.take(whose, "wrong_codes_per_s", WRONG_CODES_PER_S, 1)
        if taking.wait_s:
            raise Guessing(user_id, taking)
