"""Holds of points: a checkout sets points aside, and captures them, or what it needs of them, or lets them go."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from fillip.core.campaign.formula import MAX_VALUE
from fillip.core.ledger.hold import HoldRefused, HoldState, PointsHold, StoredHold
from fillip.core.ledger.points import WalletKey, identify_spend
from fillip.http.errors import Conflict, NotFound
from fillip.http.fields import Currency, OwnId, Part, UserId, give_examples
from fillip.http.page import Page, Pages
from fillip.manage.merge.postgres import Purse, find_made, share_purse
from fillip.manage.request.route import Posting, Reading, Route, UnitOfWork
from fillip.manage.wallet.errors import HoldNotNow, NotEnough
from fillip.manage.wallet.holds_postgres import find_hold
from fillip.manage.wallet.holds_postgres import list_holds as read_holds
from fillip.manage.wallet.postgres import find_rows, find_transfer, lock_wallet, open_page

HELD_FOR_S = 900
MAX_HELD_FOR_S = 604_800

router = APIRouter(prefix="/users/{user_id}/wallets/{currency}/holds", tags=["wallets"], route_class=Route)


class HoldPart(Part):
    """Set `amount` points aside; the same `hold_id` again holds nothing more. Once captured it is the spend of that id."""

    model_config = give_examples({"hold_id": "order-4711", "amount": 300})

    hold_id: OwnId
    amount: int = Field(ge=1, le=MAX_VALUE, strict=True)
    hold_for_s: int = Field(HELD_FOR_S, ge=1, le=MAX_HELD_FOR_S, strict=True)


class CapturePart(Part):
    """Spend `amount` of a hold, without it all of it; what is left of it comes back."""

    model_config = give_examples({"amount": 120})

    amount: int | None = Field(None, ge=1, le=MAX_VALUE, strict=True)


class HoldAnswer(BaseModel):
    """A hold as of now: of `amount` points `captured` were spent; they are `held` until `held_until` at the latest."""

    hold_id: str
    amount: int
    state: HoldState
    captured: int
    held_until: datetime
    ended_at: datetime | None


_AGAIN: dict[int | str, dict[str, Any]] = {200: {"model": HoldAnswer, "description": "Made before"}}


@router.post("", status_code=201, responses=_AGAIN)
async def hold_points(
    work: Posting, user_id: UserId, currency: Currency, body: HoldPart, response: Response
) -> HoldAnswer:
    """Set points aside that a spend would take now: nobody else can spend them, and they do not expire, until the hold ends."""
    now = datetime.now(UTC)
    purse = await share_purse(work.connection, work.caller, user_id, currency)
    wallet, rows = await lock_wallet(work.connection, purse.key, now), find_rows(work.connection)
    key, transfer_id = await find_made(
        work.connection, work.caller, purse, lambda key: identify_spend(key, body.hold_id)
    )
    if before := await find_hold(work.connection, (purse.key, key), transfer_id):
        if before.hold.amount != body.amount:
            message = f"hold '{body.hold_id}' was made before of {before.hold.amount}: give each one an id of its own"
            raise Conflict(message, at="/amount")
        response.status_code = 200
        return _describe(before.hold, now)
    if await find_transfer(work.connection, work.caller, purse.users, transfer_id):
        raise Conflict(f"'{body.hold_id}' is a spend: give the hold an id of its own", at="/hold_id")
    await open_page(work.connection, wallet)
    if not wallet.hold(transfer_id, body.hold_id, body.amount, now):
        raise NotEnough(wallet, body.amount)
    until = now + timedelta(seconds=body.hold_for_s)
    made = PointsHold(transfer_id, wallet.transfers[-1].seq, body.hold_id, body.amount, held_until=until, due_at=until)
    await rows.make_hold(wallet, made)
    return _describe(made, now)


@router.get("")
async def list_holds(
    work: Reading,
    user_id: UserId,
    currency: Currency,
    pages: Pages,
    state: Annotated[HoldState | None, Query(description="As of now")] = None,
) -> Page[HoldAnswer]:
    """The holds of a wallet, the newest first."""
    now = datetime.now(UTC)
    holds, cursor = await read_holds(work.connection, _name(work, user_id, currency), pages, state, now)
    return Page(items=[_describe(hold, now) for hold in holds], next_cursor=cursor)


@router.get("/{hold_id}")
async def read_hold(work: Reading, user_id: UserId, currency: Currency, hold_id: OwnId) -> HoldAnswer:
    """One hold."""
    purse = await share_purse(work.connection, work.caller, user_id, currency)
    stored = await _find(work, purse, hold_id)
    return _describe(stored.hold, datetime.now(UTC))


@router.post("/{hold_id}/capture")
async def capture_hold(
    work: Posting, user_id: UserId, currency: Currency, hold_id: OwnId, body: CapturePart | None = None
) -> HoldAnswer:
    """Spend what is held, or an `amount` of it, once; the rest comes back. The same again gets the same answer.

    410 `hold-timed-out` where it comes too late. What was captured is refunded as the spend of this id.
    """
    amount = body.amount if body else None
    return await _end(work, (user_id, currency), hold_id, lambda hold, now: hold.capture(amount, now))


@router.post("/{hold_id}/void")
async def void_hold(work: Posting, user_id: UserId, currency: Currency, hold_id: OwnId) -> HoldAnswer:
    """Give a hold up: its points come back with the expiry they had. Once more, or after its time-out: nothing happens."""
    return await _end(work, (user_id, currency), hold_id, lambda hold, now: hold.void(now))


async def _end(
    work: UnitOfWork, owner: tuple[str, str], hold_id: str, end: Callable[[PointsHold, datetime], PointsHold]
) -> HoldAnswer:
    """End a hold of (user, currency); of many lots portion by portion, each in a transaction of its own."""
    while True:
        now = datetime.now(UTC)
        purse = await share_purse(work.connection, work.caller, *owner)
        wallet = await lock_wallet(work.connection, purse.key, now)
        stored = await _find(work, purse, hold_id)
        try:
            ended = end(stored.hold, now)
        except HoldRefused as refused:
            raise HoldNotNow(refused) from None
        if stored.hold.due_at is None:
            return _describe(ended, now)
        hold = await find_rows(work.connection).end_hold(wallet, stored, ended, now)
        if hold.due_at is None:
            return _describe(hold, now)
        await work.save()


async def _find(work: UnitOfWork, purse: Purse, hold_id: str) -> StoredHold:
    """A hold that was made under any id of the user; one that is open is in the wallet of who that is by now."""
    key, name = await find_made(work.connection, work.caller, purse, lambda key: identify_spend(key, hold_id))
    stored = await find_hold(work.connection, (purse.key, key), name)
    if stored is None:
        raise NotFound(f"there is no hold '{hold_id}' in this wallet")
    return stored


def _name(work: UnitOfWork, user_id: str, currency: str) -> WalletKey:
    return work.caller.tenant_id, user_id, currency


def _describe(hold: PointsHold, now: datetime) -> HoldAnswer:
    return HoldAnswer.model_validate(hold.as_of(now), from_attributes=True)
