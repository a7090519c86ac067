"""Claims: a till or an app honours an incentive once, directly or by reserve → confirm; by its id or its coupon code."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import BaseModel, BeforeValidator, Field

from fillip.core.campaign.reward import RewardKind
from fillip.core.ledger.claim import ClaimableIncentive, ClaimRefused, claim, confirm, release, reserve
from fillip.core.problem import PROBLEM_TYPE
from fillip.http.errors import HttpRefused
from fillip.http.fields import NO_DOTS, Part
from fillip.manage.incentive import postgres
from fillip.manage.request.route import Route, UnitOfWork, begin, begin_once

RESERVED_FOR_S = 900
MAX_RESERVED_FOR_S = 86_400
MAX_REDEMPTIONS = 100
_GONE, _CONFLICT, _UNFIT = 410, 409, 422
_STATUS = {
    "already-claimed": _CONFLICT,
    "reserved": _CONFLICT,
    "not-reserved": _CONFLICT,
    "reservation-timed-out": _GONE,
    "reversed": _GONE,
    "expired": _GONE,
    "not-claimable": _UNFIT,
}

_CODE = "^[A-Za-z0-9._-]{1,64}$"


def _strip(code: object) -> object:
    return code.strip() if isinstance(code, str) else code


router = APIRouter(tags=["claims"], route_class=Route)
Looking = Annotated[UnitOfWork, begin("claims:write")]
Claiming = Annotated[UnitOfWork, begin_once("claims:write")]
Code = Annotated[
    str,
    BeforeValidator(_strip),
    Path(
        pattern=_CODE,
        description="In any mixture of upper and lower case, unless its pool is `case_sensitive`",
        examples=["SPRING-7K2M-Q9RT-XW4D"],
    ),
]
TypedCode = Annotated[str, BeforeValidator(_strip), Field(pattern=_CODE, examples=["SPRING-7K2M-Q9RT-XW4D"])]
ReservationId = Annotated[str, Field(pattern="^[A-Za-z0-9._:-]{1,100}$", examples=["till-7:4711"]), NO_DOTS]
Move = Callable[[ClaimableIncentive, datetime], ClaimableIncentive]


class NotNow(HttpRefused):
    """409, 410 or 422: why an incentive can't be claimed, reserved or released."""

    def __init__(self, refused: ClaimRefused) -> None:
        super().__init__(str(refused))
        self.kind, self.status = refused.kind, _STATUS[refused.kind]


class ReservationPart(Part):
    """`reservation_id` is chosen by the claimer; the same again is the same reservation."""

    reservation_id: ReservationId
    reserve_for_s: int = Field(RESERVED_FOR_S, ge=1, le=MAX_RESERVED_FOR_S, strict=True)


class ClaimAnswer(BaseModel):
    """An incentive as far as claiming goes, as of now."""

    incentive_id: UUID
    campaign_id: str
    user_id: str
    kind: RewardKind
    value: int
    currency: str | None
    coupon_code: str | None
    state: Literal["granted", "reserved", "claimed", "reversed", "expired"]
    reservation_id: str | None
    reserved_until: datetime | None
    expires_at: datetime | None
    claimed_at: datetime | None


class Redemption(Part):
    """A coupon to be redeemed."""

    code: TypedCode


class Redemptions(Part):
    """Coupons to be redeemed at once, each by itself."""

    redemptions: list[Redemption] = Field(min_length=1, max_length=MAX_REDEMPTIONS)


class Refusal(BaseModel):
    """Why a coupon was not redeemed: the problem that it would be by itself."""

    type: str = Field(examples=["https://fillip.dev/problems/already-claimed"])
    status: int
    detail: str


class RedemptionOutcome(BaseModel):
    """What came of one redemption: `claimed` where it was redeemed, else `refused`. `code` is as it was sent, without spaces around it."""

    index: int
    code: str
    claimed: ClaimAnswer | None
    refused: Refusal | None


class RedemptionOutcomes(BaseModel):
    """An outcome for each redemption, in their order; `redeemed` of them were."""

    redeemed: int
    outcomes: list[RedemptionOutcome]


@router.post("/incentives/{incentive_id}/claim")
async def claim_incentive(work: Claiming, incentive_id: UUID) -> ClaimAnswer:
    """Claim it at once. A second claim is refused; with an Idempotency-Key the same request may be repeated."""
    return await _move(work, incentive_id, claim)


@router.post("/incentives/{incentive_id}/reservations", status_code=201)
async def reserve_incentive(work: Claiming, incentive_id: UUID, body: ReservationPart) -> ClaimAnswer:
    """Keep it for one claimer until the time-out, to be confirmed or released. The same reservation again: the same."""
    lasts = timedelta(seconds=body.reserve_for_s)
    return await _move(work, incentive_id, lambda hold, now: reserve(hold, body.reservation_id, lasts, now))


@router.post("/incentives/{incentive_id}/reservations/{reservation_id}/confirm")
async def confirm_reservation(work: Claiming, incentive_id: UUID, reservation_id: ReservationId) -> ClaimAnswer:
    """Claim what is reserved. Once more: the same answer."""
    return await _move(work, incentive_id, lambda hold, now: confirm(hold, reservation_id, now))


@router.post("/incentives/{incentive_id}/reservations/{reservation_id}/release")
async def release_reservation(work: Claiming, incentive_id: UUID, reservation_id: ReservationId) -> ClaimAnswer:
    """Give it up before the time-out. Once more: nothing happens."""
    return await _move(work, incentive_id, lambda hold, now: release(hold, reservation_id))


@router.get("/coupons/{code}", tags=["coupons"])
async def check_coupon(work: Looking, code: Code) -> ClaimAnswer:
    """Whether a coupon can be redeemed now: `state` is `granted`."""
    incentive_id = await postgres.find_coupon(work.connection, work.caller, code)
    row, hold = await postgres.read_stored(work.connection, work.caller, incentive_id)
    return _describe_claim(row, hold, await postgres.read_clock(work.connection))


@router.post("/coupons/{code}/redeem", tags=["coupons"])
async def redeem_coupon(work: Claiming, code: Code) -> ClaimAnswer:
    """Redeem it at once. Of many at the same time one wins, the others get 409."""
    return await claim_incentive(work, await postgres.find_coupon(work.connection, work.caller, code))


@router.post("/coupons/redemptions", tags=["coupons"])
async def redeem_coupons(work: Claiming, body: Redemptions) -> RedemptionOutcomes:
    """Redeem up to 100 coupons, each by itself: a refusal of one keeps no other back. A coupon that stands twice is redeemed once.

    With an Idempotency-Key the same request gets the same outcomes.
    """
    codes = [each.code for each in body.redemptions]
    found = await postgres.find_coupons(work.connection, work.caller, set(codes))
    given = {incentive_id for incentive_id in found.values() if incentive_id}
    held = await postgres.lock_stored(work.connection, work.caller, given)
    now = await postgres.read_clock(work.connection)
    outcomes = [RedemptionOutcome(index=i, code=code, claimed=None, refused=None) for i, code in enumerate(codes)]
    for outcome in outcomes:
        try:
            incentive_id = postgres.want_given(found, outcome.code)
            row, hold = held[incentive_id]
            held[incentive_id] = row, await _store_move(work, row, hold, claim, now)
            outcome.claimed = _describe_claim(row, held[incentive_id][1], now)
        except HttpRefused as refused:
            kind, detail = f"{PROBLEM_TYPE}{refused.kind}", str(refused)
            outcome.refused = Refusal(type=kind, status=refused.status, detail=detail)
    return RedemptionOutcomes(redeemed=sum(1 for each in outcomes if each.claimed), outcomes=outcomes)


@router.post("/coupons/{code}/reservations", status_code=201, tags=["coupons"])
async def reserve_coupon(work: Claiming, code: Code, body: ReservationPart) -> ClaimAnswer:
    """Keep a coupon for one checkout until the time-out."""
    return await reserve_incentive(work, await postgres.find_coupon(work.connection, work.caller, code), body)


@router.post("/coupons/{code}/reservations/{reservation_id}/confirm", tags=["coupons"])
async def confirm_coupon(work: Claiming, code: Code, reservation_id: ReservationId) -> ClaimAnswer:
    """Redeem a coupon that is reserved."""
    return await confirm_reservation(
        work, await postgres.find_coupon(work.connection, work.caller, code), reservation_id
    )


@router.post("/coupons/{code}/reservations/{reservation_id}/release", tags=["coupons"])
async def release_coupon(work: Claiming, code: Code, reservation_id: ReservationId) -> ClaimAnswer:
    """Give a coupon up before the time-out."""
    return await release_reservation(
        work, await postgres.find_coupon(work.connection, work.caller, code), reservation_id
    )


async def _move(work: UnitOfWork, incentive_id: UUID, move: Move) -> ClaimAnswer:
    """Decide on the locked row, then write. The clock is read under the lock, however long that was waited for."""
    row, hold = await postgres.read_stored(work.connection, work.caller, incentive_id, lock=True)
    now = await postgres.read_clock(work.connection)
    return _describe_claim(row, await _store_move(work, row, hold, move, now), now)


async def _store_move(
    work: UnitOfWork, row: postgres.IncentiveRow, hold: ClaimableIncentive, move: Move, now: datetime
) -> ClaimableIncentive:
    """Move a locked incentive; raises NotNow, and nothing is written then."""
    try:
        moved = move(hold, now)
    except ClaimRefused as refused:
        raise NotNow(refused) from None
    await postgres.store_claim(work.connection, work.caller, row, hold, moved)
    return moved


def _describe_claim(row: postgres.IncentiveRow, hold: ClaimableIncentive, now: datetime) -> ClaimAnswer:
    state = hold.find_state(now)
    names = ("incentive_id", "campaign_id", "user_id", "kind", "value", "currency", "coupon_code", "expires_at")
    shown = {name: row._mapping[name] for name in names} | {"state": state, "claimed_at": hold.claimed_at}
    for name in ("reservation_id", "reserved_until"):
        shown[name] = getattr(hold, name) if state in ("reserved", "claimed") else None
    return ClaimAnswer.model_validate(shown)
