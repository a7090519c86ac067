"""Wallets of points: balances, the statement, spending and its refund, adjustments by hand."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from msgspec.structs import replace
from pydantic import BaseModel, Field, field_validator

from fillip.core.campaign.formula import MAX_VALUE
from fillip.core.campaign.reward import POINTS
from fillip.core.errors import Crash
from fillip.core.ledger.points import Account, Transfer, TransferKind, WalletKey, identify_adjustment, identify_spend
from fillip.core.ledger.wallet import Wallet
from fillip.core.local_day import end_day
from fillip.http.errors import Conflict, Invalid, NotFound
from fillip.http.export import CSV_TOO, answer_as_asked
from fillip.http.fields import Currency, InstantOrDay, OwnId, Part, Reason, UserId, give_examples
from fillip.http.page import Page, Pages, TimedPages, answer_page
from fillip.manage.merge.postgres import Purse, find_made, share_purse, share_user
from fillip.manage.request.route import Posting, Reading, Route, UnitOfWork
from fillip.manage.tenant.postgres import find_tenant
from fillip.manage.wallet import lots_postgres, postgres
from fillip.manage.wallet.errors import NotEnough
from fillip.manage.wallet.gift_postgres import find_others
from fillip.manage.wallet.holds_postgres import find_hold
from fillip.manage.wallet.postgres import find_rows, find_transfer, lock_wallet, open_page, store_wallets
from fillip.manage.wallet.refund_postgres import find_refund

router = APIRouter(prefix="/users/{user_id}/wallets", tags=["wallets"], route_class=Route)


class NextExpiry(BaseModel):
    """What expires next: `amount` active points at `at`."""

    at: datetime
    amount: int


class WalletAnswer(BaseModel):
    """A wallet as of now. `active` can be spent; below zero it is what a reversal of spent points left to be paid.

    `held` is set aside by holds: it can't be spent, and does not expire, until they end.
    """

    user_id: str = Field(examples=["ada"])
    currency: str = Field(examples=["POINTS"])
    pending: int
    active: int
    held: int
    spent: int
    expired: int
    reversed: int
    next_expiry: NextExpiry | None


class TransferAnswer(BaseModel):
    """`amount` points from the account `debit` to `credit`. `seq` runs 1, 2, 3 … in a wallet without a gap.

    `source_id` is the incentive's id in hex, or the `spend_id` or `adjustment_id`, or empty where more than 100 lots
    become active or expire together; of a gift the `gift_id` where it is given, the id of that transfer where it is received; `reason` is an adjustment's, or the id of the reversal or refund. `pending_after` and
    `active_after` are the balances after it; as the answer to what was asked for, after all that it brought about.
    """

    seq: int
    kind: TransferKind
    debit: Account
    credit: Account
    amount: int
    source_id: str
    reason: str | None
    pending_after: int
    active_after: int
    made_at: datetime
    other_user_id: str | None = Field(None, description="Who received or gave the points of a gift; in the statement")


class LotAnswer(BaseModel):
    """Points that came together, by the transfer of `kind` and `source_id`; `remaining` of `amount` are there yet, spent in this order.

    `pending` ones can be spent from `available_at` on. What expires at `expires_at` (null: never) is what remains by then. Both `kind`
    and `source_id` are null while the user is being erased.
    """

    lot_id: UUID
    state: Literal["pending", "active"]
    amount: int
    remaining: int
    kind: TransferKind | None
    source_id: str | None
    available_at: datetime | None
    expires_at: datetime | None


class SpendPart(Part):
    """Spend `amount` points; the same `spend_id` again spends nothing more."""

    model_config = give_examples({"spend_id": "order-4711", "amount": 300})

    spend_id: OwnId
    amount: int = Field(ge=1, le=MAX_VALUE, strict=True)


class RefundPart(Part):
    """Give `amount` of a spend back, without it all that is left; the same `refund_id` again gives nothing more back.

    A refund without a `refund_id` is called `part` where it has an amount, else `rest`.
    """

    model_config = give_examples({"refund_id": "return-7", "amount": 20})

    refund_id: OwnId | None = Field(None, examples=["return-7"])
    amount: int | None = Field(None, ge=1, le=MAX_VALUE, strict=True)

    @property
    def name(self) -> str:
        """The refund's id."""
        return self.refund_id or ("rest" if self.amount is None else "part")


class AdjustmentPart(Part):
    """Add points by hand, or take them away (`amount` below zero); refused where there are fewer."""

    model_config = give_examples({"adjustment_id": "ticket-9", "amount": 100, "reason": "goodwill"})

    adjustment_id: OwnId
    amount: int = Field(ge=-MAX_VALUE, le=MAX_VALUE, strict=True, description="Not 0")
    reason: Reason
    expires_at: InstantOrDay | None = Field(
        None,
        description="Of added points, and only of them; a day: with its end in the tenant's zone; null: never",
        examples=["2026-12-31"],
    )

    @field_validator("amount")
    @classmethod
    def _want_some(cls, amount: int) -> int:
        if amount == 0:
            raise ValueError("must not be 0")
        return amount


_ACCOUNTS = ("pending", "active", "held", "spent", "expired", "reversed")
_AGAIN: dict[int | str, dict[str, Any]] = {200: {"model": TransferAnswer, "description": "Done before"}}


@router.get("")
async def list_wallets(work: Reading, user_id: UserId, pages: Pages) -> Page[WalletAnswer]:
    """A user's wallets by currency; empty for a user who never had points."""
    now = datetime.now(UTC)
    owner = await share_user(work.connection, work.caller, user_id)
    shown, cursor = await postgres.list_wallets(work.connection, work.caller, owner, now, pages)
    return Page(items=await _describe_wallets(work, shown), next_cursor=cursor)


@router.get("/{currency}")
async def read_wallet(work: Reading, user_id: UserId, currency: Currency) -> WalletAnswer:
    """One wallet, with what is due by now activated and expired."""
    owner = await share_user(work.connection, work.caller, user_id)
    shown = await postgres.find_wallet(work.connection, work.caller, owner, currency, datetime.now(UTC))
    return (await _describe_wallets(work, [shown]))[0]


@router.get("/{currency}/transfers", response_model=Page[TransferAnswer], responses=CSV_TOO)
async def list_transfers(
    request: Request,
    work: Reading,
    user_id: UserId,
    currency: Currency,
    pages: TimedPages,
    kind: TransferKind | None = None,
) -> Page[TransferAnswer] | Response:
    """The statement of a wallet, the newest first, with `Accept: text/csv` as CSV."""
    transfers, cursor = await postgres.list_transfers(work.connection, _name(work, user_id, currency), kind, pages)
    others = await find_others(work.connection, work.caller, transfers)
    items = [TransferAnswer.model_validate(each, from_attributes=True) for each in transfers]
    for item, transfer in zip(items, transfers, strict=True):
        item.other_user_id = others.get(transfer.transfer_id)
    page = Page[TransferAnswer](items=items, next_cursor=cursor)
    return answer_as_asked(request, TransferAnswer, page)


@router.get("/{currency}/lots")
async def list_lots(work: Reading, user_id: UserId, currency: Currency, pages: Pages) -> Page[LotAnswer]:
    """What the balance is made of and when each part expires, in the order in which it is spent: lots of which something remains."""
    now = datetime.now(UTC)
    owner = await share_user(work.connection, work.caller, user_id)
    shown = await postgres.find_wallet(work.connection, work.caller, owner, currency, now)
    return answer_page(LotAnswer, await lots_postgres.list_lots(work.connection, shown, now, pages))


@router.post("/{currency}/spends", status_code=201, responses=_AGAIN)
async def spend_points(
    work: Posting, user_id: UserId, currency: Currency, body: SpendPart, response: Response
) -> TransferAnswer:
    """Spend active points, those that expire first first; 409 `not-enough-points` where they are not there."""
    now = datetime.now(UTC)
    purse = await share_purse(work.connection, work.caller, user_id, currency)
    held = await lock_wallet(work.connection, purse.key, now)
    _, transfer_id = await find_made(
        work.connection, work.caller, purse, lambda key: identify_spend(key, body.spend_id)
    )
    if before := await find_transfer(work.connection, work.caller, purse.users, transfer_id):
        if before.kind == "hold":
            raise Conflict(
                f"'{body.spend_id}' is a hold: capture it, or give the spend an id of its own", at="/spend_id"
            )
        _check_same(before, body.amount, body.spend_id)
        response.status_code = 200
        return _describe_transfer(before)
    await open_page(work.connection, held)
    if not held.spend(transfer_id, body.spend_id, body.amount, now):
        raise NotEnough(held, body.amount)
    await store_wallets(work.connection, held)
    return _describe_transfer(held.transfers[-1])


@router.post("/{currency}/spends/{spend_id}/refund", status_code=201, responses=_AGAIN)
async def refund_spend(
    work: Posting,
    user_id: UserId,
    currency: Currency,
    spend_id: OwnId,
    response: Response,
    body: RefundPart | None = None,
) -> TransferAnswer:
    """Give a spend back, all that is left or an `amount` of it, in as many refunds as you like: 409 beyond the spend.

    Points come back with the expiry they had, those that expire last first; what is past that expires at once. A refund
    over more than 200 lots comes in several transfers, the last of which is the answer.
    """
    asked, portions = body or RefundPart(refund_id=None, amount=None), None
    while True:
        now = datetime.now(UTC)
        purse = await share_purse(work.connection, work.caller, user_id, currency)
        held = await lock_wallet(work.connection, purse.key, now)
        key, name = await find_made(work.connection, work.caller, purse, lambda key: identify_spend(key, spend_id))
        spent = await find_transfer(work.connection, work.caller, purse.users, name)
        if spent is None:
            raise NotFound(f"there is no spend '{spend_id}' in this wallet")
        if spent.kind == "hold":
            await _require_captured(work, (purse.key, key), spent)
        done, returned = await find_refund(work.connection, held, spent, asked.name, asked.amount)
        if done.last_id and done.is_done:
            response.status_code = 200
            return await _tell_again(work, purse, done.last_id)
        rows = find_rows(work.connection)
        if portions is None or portions.top != spent.amount - returned:
            portions = await rows.read_portions(held, spent, returned)
        given = await rows.refund_portion(held, spent, done, portions, now)
        if done.is_done:
            return _tell(held, given)
        await work.save()


@router.post("/{currency}/adjustments", status_code=201, responses=_AGAIN)
async def adjust_points(
    work: Posting, user_id: UserId, currency: Currency, body: AdjustmentPart, response: Response
) -> TransferAnswer:
    """Add points by hand, or take them away: 409 where there are fewer; the same `adjustment_id` again moves nothing more."""
    purse, now = await share_purse(work.connection, work.caller, user_id, currency), datetime.now(UTC)
    expires_at = await _find_expiry(work, body)
    if body.amount > 0:
        if currency != POINTS and not await postgres.has_currency(work.connection, work.caller, currency):
            raise NotFound(f"unknown currency of points '{currency}': PUT /v1/points/{currency}")
        await postgres.make_wallet(work.connection, purse.key)
    held = await lock_wallet(work.connection, purse.key, now)
    _, transfer_id = await find_made(
        work.connection, work.caller, purse, lambda key: identify_adjustment(key, body.adjustment_id)
    )
    if before := await find_transfer(work.connection, work.caller, purse.users, transfer_id):
        _check_same(before, body.amount, body.adjustment_id)
        response.status_code = 200
        return await _tell_again(work, purse, transfer_id)
    if expires_at and expires_at <= now:
        raise Invalid("must lie in the future: the points would expire at once", at="/expires_at")
    if body.amount < 0:
        await open_page(work.connection, held)
    if not held.adjust(transfer_id, body.adjustment_id, body.amount, body.reason, now, expires_at):
        raise NotEnough(held, -body.amount)
    await store_wallets(work.connection, held)
    return _tell(held, transfer_id)


async def _find_expiry(work: UnitOfWork, body: AdjustmentPart) -> datetime | None:
    """When what is added expires. Raises Invalid where nothing ever does."""
    if body.expires_at is None:
        return None
    if body.amount < 0:
        raise Invalid("only points that are added expire: leave it out", at="/expires_at")
    tenant = await find_tenant(work.connection, work.caller.tenant_id)
    if tenant.clock == "history":
        raise Invalid("nothing expires by itself in a tenant with the clock history: leave it out", at="/expires_at")
    return body.expires_at if isinstance(body.expires_at, datetime) else end_day(body.expires_at, tenant.time_zone)


async def _require_captured(work: UnitOfWork, keys: Sequence[WalletKey], spent: Transfer) -> None:
    stored = await find_hold(work.connection, keys, spent.transfer_id)
    if stored is None or not stored.hold.captured:
        raise Conflict(f"hold '{spent.source_id}' was not captured: void it to have its points back")


def _name(work: UnitOfWork, user_id: str, currency: str) -> WalletKey:
    return work.caller.tenant_id, user_id, currency


def _check_same(before: Transfer, amount: int, name: str) -> None:
    done = -before.amount if before.credit == "issued" else before.amount
    if amount != done:
        raise Conflict(
            f"'{name}' was done before with an amount of {done}: give each one an id of its own", at="/amount"
        )


async def _describe_wallets(work: UnitOfWork, shown: Sequence[Wallet]) -> list[WalletAnswer]:
    expiries = await postgres.find_next_expiries(work.connection, shown)
    answers = []
    for held in shown:
        balance = {name: getattr(held.balance, name) for name in _ACCOUNTS}
        when, amount = expiries.get(held.key[2], (None, 0))
        expiry = NextExpiry(at=when, amount=amount) if when else None
        answers.append(WalletAnswer(user_id=held.key[1], currency=held.key[2], next_expiry=expiry, **balance))
    return answers


def _tell(held: Wallet, transfer_id: UUID) -> TransferAnswer:
    """A transfer that was made just now, with the balances after all that came with it."""
    made, end = next(each for each in held.transfers if each.transfer_id == transfer_id), held.transfers[-1]
    return _describe_transfer(replace(made, pending_after=end.pending_after, active_after=end.active_after))


async def _tell_again(work: UnitOfWork, purse: Purse, transfer_id: UUID) -> TransferAnswer:
    """The same of one that was made before."""
    transfer = await find_transfer(work.connection, work.caller, purse.users, transfer_id)
    if transfer is None:
        raise Crash(f"transfer {transfer_id} is not there")
    owner = (await postgres.find_owners(work.connection, work.caller, [transfer_id]))[transfer_id]  # as it was then
    end = await postgres.find_end(work.connection, (purse.key[0], owner, purse.key[2]), transfer)
    return _describe_transfer(replace(transfer, pending_after=end.pending_after, active_after=end.active_after))


def _describe_transfer(transfer: Transfer) -> TransferAnswer:
    return TransferAnswer.model_validate(transfer, from_attributes=True)
