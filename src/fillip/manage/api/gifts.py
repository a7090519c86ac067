"""Gifts: a user's points go to another user, and expire when they would have."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Response
from msgspec.structs import replace
from pydantic import Field

from fillip.core.campaign.formula import MAX_VALUE
from fillip.core.ledger.points import PAGE_LOTS, Transfer, identify_gift
from fillip.core.ledger.wallet import Wallet
from fillip.http.errors import Conflict, Invalid, NotFound
from fillip.http.fields import Currency, OwnId, Part, UserId, give_examples
from fillip.manage.api.wallets import TransferAnswer
from fillip.manage.merge.postgres import find_made, share_purse
from fillip.manage.request.route import Posting, Route
from fillip.manage.wallet.errors import NotEnough, TooManyLots
from fillip.manage.wallet.gift_postgres import find_others
from fillip.manage.wallet.postgres import find_transfer, lock_wallets, make_wallet, open_page, store_wallets

router = APIRouter(prefix="/users/{user_id}/wallets/{currency}/gifts", tags=["wallets"], route_class=Route)


class GiftPart(Part):
    """Give `amount` points to another user; the same `gift_id` again gives nothing more."""

    model_config = give_examples({"gift_id": "gift-12", "to_user_id": "grace", "amount": 50})

    gift_id: OwnId
    to_user_id: UserId
    amount: int = Field(ge=1, le=MAX_VALUE, strict=True)


_AGAIN: dict[int | str, dict[str, Any]] = {200: {"model": TransferAnswer, "description": "Done before"}}


@router.post("", status_code=201, responses=_AGAIN)
async def give_points(
    work: Posting, user_id: UserId, currency: Currency, body: GiftPart, response: Response
) -> TransferAnswer:
    """Give active points to another user, those that expire first first; they expire when they would have.

    409 `not-enough-points` where they are not there, `too-many-lots` where they lie in more than 200 lots. The answer is the giver's transfer.
    """
    while True:
        now = datetime.now(UTC)
        purse = await share_purse(work.connection, work.caller, user_id, currency)
        mine, theirs = purse.key, (await share_purse(work.connection, work.caller, body.to_user_id, currency)).key
        if mine == theirs:
            raise Invalid("points are given to another user than who has them", at="/to_user_id")
        _, transfer_id = await find_made(
            work.connection, work.caller, purse, lambda key: identify_gift(key, body.gift_id)
        )
        wallets = await lock_wallets(work.connection, sorted([mine, theirs]), now)
        giver, receiver = wallets[mine], wallets[theirs]
        if giver.fresh:
            raise NotFound(f"user '{user_id}' has no wallet of {currency}")
        if before := await find_transfer(work.connection, work.caller, purse.users, transfer_id):
            others = await find_others(work.connection, work.caller, [before])
            to_user_id = others.get(transfer_id)
            if before.amount != body.amount or to_user_id not in (body.to_user_id, theirs[1]):
                made = f"gift '{body.gift_id}' was made before, of {before.amount} to '{to_user_id}'"
                raise Conflict(f"{made}: give each one an id of its own", at="/gift_id")
            response.status_code = 200
            return _describe(before, body.to_user_id)
        await open_page(work.connection, giver)
        _require_room(giver, body.amount)
        if not receiver.fresh:
            break
        await make_wallet(
            work.connection, theirs
        )  # in a transaction of its own: nobody holds one wallet and makes another
        await work.save()
    receiver.receive(transfer_id, giver.give(transfer_id, body.gift_id, body.amount, now), now)
    await store_wallets(work.connection, giver, receiver)
    return _describe(giver.transfers[-1], body.to_user_id)


def _require_room(giver: Wallet, amount: int) -> None:
    if amount > giver.balance.active:
        raise NotEnough(giver, amount)
    if giver.balance.owed:
        raise TooManyLots(
            "a large spend is still to be taken out of the lots: try again in a few seconds", at="/amount"
        )
    if amount > (most := giver.measure_page()):
        raise TooManyLots(
            f"{PAGE_LOTS} lots are given at once, and the first ones have {most}: give these first", at="/amount"
        )


def _describe(transfer: Transfer, to_user_id: str) -> TransferAnswer:
    answer = TransferAnswer.model_validate(replace(transfer), from_attributes=True)
    answer.other_user_id = to_user_id
    return answer
