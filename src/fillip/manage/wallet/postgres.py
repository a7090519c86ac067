"""Wallets as stored: shown as of now, locked with the lots that an operation needs, and written once it moved them."""

from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from msgspec.structs import asdict
from sqlalchemy import ColumnElement, DateTime, Row, Select, and_, func, literal, select, text, true
from sqlalchemy.dialects.postgresql import insert

from fillip.core.ledger.points import PAGE_LOTS, Balance, Transfer, TransferKind, WalletKey
from fillip.core.ledger.wallet import Wallet
from fillip.core.ports import Caller
from fillip.http.errors import Conflict, NotFound
from fillip.http.paging import Paging
from fillip.manage.store.driver_postgres import DriverConnection
from fillip.manage.store.keyset import read_page
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.book import points_currency
from fillip.manage.store.tables.wallet import wallet, wallet_transfer
from fillip.rows.wallet.hold_postgres import HoldRows
from fillip.rows.wallet.postgres import read_wallet

_KEY = ("tenant_id", "user_id", "currency")
_NEXT_EXPIRIES = text(Path(__file__).with_name("next_expiries.sql").read_text(encoding="utf-8"))


def find_rows(connection: Connection) -> HoldRows:
    """The wallets of the connection's transaction, with their refunds and holds."""
    return HoldRows(DriverConnection(connection))


async def lock_wallet(connection: Connection, key: WalletKey, at: datetime) -> Wallet:
    """One wallet, locked until the transaction ends and brought up to `at`; raises NotFound."""
    rows = find_rows(connection)
    wallets = await rows.lock([key])
    if wallets[key].fresh:
        raise _miss(key)
    await rows.mature(wallets, at)
    return wallets[key]


async def lock_wallets(connection: Connection, keys: Sequence[WalletKey], at: datetime) -> dict[WalletKey, Wallet]:
    """Wallets (sorted), locked in this order until the transaction ends and brought up to `at`; fresh where they are not there."""
    rows = find_rows(connection)
    wallets = await rows.lock(keys)
    await rows.mature(wallets, at)
    return wallets


async def open_page(connection: Connection, held: Wallet) -> None:
    """Hand a locked wallet the lots that are spent first; where lots owe already, theirs come before."""
    if not held.balance.owed:
        await find_rows(connection).open_pages({held.key: held}, {held.key: held.balance.expired_to})


async def store_wallets(connection: Connection, *moved: Wallet) -> None:
    """Write what was moved in locked wallets: their balances, lots, transfers and draws."""
    await find_rows(connection).store(moved)


async def make_wallet(connection: Connection, key: WalletKey) -> None:
    """Give the user an empty wallet where there is none; holds a new one until the transaction ends."""
    row = dict(zip(_KEY, key, strict=True)) | asdict(Balance())
    await connection.execute(insert(wallet).values(row).on_conflict_do_nothing())


async def list_wallets(
    connection: Connection, caller: Caller, user_id: str, at: datetime, pages: Paging
) -> tuple[list[Wallet], str | None]:
    """A page of a user's wallets by currency, brought up to `at` to be shown, and the next cursor."""
    rows, cursor = await read_page(connection, _select_wallets(caller, user_id, at), [wallet.c.currency], pages)
    return [_bring_up(row, at) for row in rows], cursor


async def find_wallet(connection: Connection, caller: Caller, user_id: str, currency: str, at: datetime) -> Wallet:
    """One wallet, brought up to `at` to be shown: nothing of it is to be written. Raises NotFound."""
    statement = _select_wallets(caller, user_id, at).where(wallet.c.currency == currency)
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        raise _miss((caller.tenant_id, user_id, currency))
    return _bring_up(row, at)


async def find_next_expiries(connection: Connection, shown: Sequence[Wallet]) -> dict[str, tuple[datetime, int]]:
    """(when, how many active points) expire next, by the currency of one user's wallets that were brought up."""
    if not shown:
        return {}
    given = {
        "tenant_id": shown[0].key[0],
        "user_id": shown[0].key[1],
        "currencies": [held.key[2] for held in shown],
        **{name: [getattr(held.balance, name) for held in shown] for name in ("activated_to", "expired_to", "owed")},
    }
    return {currency: (at, amount) for currency, at, amount in await connection.execute(_NEXT_EXPIRIES, given)}


async def list_transfers(
    connection: Connection, key: WalletKey, kind: TransferKind | None, pages: Paging
) -> tuple[list[Transfer], str | None]:
    """A page of a wallet's transfers, the newest first, all or those of a kind or of a time, and the next cursor."""
    statement, order = select(wallet_transfer).where(is_in(wallet_transfer, key)), [wallet_transfer.c.seq]
    rows, cursor = await read_page(
        connection, statement, order, pages, descending=True, sift={"kind": kind}, timed_by="made_at"
    )
    return [_read_transfer(row) for row in rows], cursor


async def find_transfer(
    connection: Connection, caller: Caller, users: Collection[str], transfer_id: UUID
) -> Transfer | None:
    """One transfer of the caller's tenant, of a user with these ids. Raises Conflict where it is somebody else's by now: the user whose id
    went into its own was erased.
    """
    column = wallet_transfer.c
    mine = (column.tenant_id == caller.tenant_id) & (column.transfer_id == transfer_id)
    row = (await connection.execute(select(wallet_transfer).where(mine))).one_or_none()
    if row is not None and row.user_id not in users:
        raise Conflict("this id was used before, for a user who was erased: give each one an id of its own")
    return None if row is None else _read_transfer(row)


async def find_owners(connection: Connection, caller: Caller, transfer_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Whose wallets these transfers of the caller's tenant are in."""
    column = wallet_transfer.c
    mine = (column.tenant_id == caller.tenant_id) & column.transfer_id.in_(transfer_ids)
    rows = await connection.execute(select(column.transfer_id, column.user_id).where(mine)) if transfer_ids else ()
    return {row[0]: row[1] for row in rows}


async def find_end(connection: Connection, key: WalletKey, transfer: Transfer) -> Transfer:
    """The last transfer of the operation that made this one: what it brought may have expired at once."""
    column = wallet_transfer.c
    behind = column.seq.between(transfer.seq, transfer.seq + PAGE_LOTS + 1) & (column.made_at == transfer.made_at)
    statement = select(wallet_transfer).where(is_in(wallet_transfer, key), behind)
    return _read_transfer((await connection.execute(statement.order_by(column.seq.desc()).limit(1))).one())


async def has_currency(connection: Connection, caller: Caller, currency: str) -> bool:
    """Whether the caller has made such a currency of points; it is kept from being deleted until the transaction ends."""
    mine = (points_currency.c.tenant_id == caller.tenant_id) & (points_currency.c.currency == currency)
    kept = select(points_currency.c.currency).where(mine).with_for_update(read=True, key_share=True)
    return (await connection.execute(kept)).one_or_none() is not None


def is_in(table: Any, key: WalletKey) -> ColumnElement[bool]:  # noqa: ANN401
    """That a row of a table belongs to a wallet."""
    return and_(*(table.c[name] == value for name, value in zip(_KEY, key, strict=True)))


def _select_wallets(caller: Caller, user_id: str, at: datetime) -> Select[Any]:
    """A user's wallets with the sums of what fell due in each by `at`."""
    columns = (wallet.c.tenant_id, wallet.c.user_id, wallet.c.currency, wallet.c.activated_to, wallet.c.expired_to)
    due = func.sum_due_lots(*columns, literal(at, DateTime(timezone=True)))
    sums = due.table_valued("activating", "expiring").lateral()
    mine = and_(wallet.c.tenant_id == caller.tenant_id, wallet.c.user_id == user_id)
    return select(wallet, sums.c.activating, sums.c.expiring).select_from(wallet.join(sums, true())).where(mine)


def _bring_up(row: Row[Any], at: datetime) -> Wallet:
    held = read_wallet(row._mapping)
    held.mature_many(at, row.activating, row.expiring)
    return held


def _read_transfer(row: Row[Any]) -> Transfer:
    return Transfer(**{name: row._mapping[name] for name in Transfer.__struct_fields__})


def _miss(key: WalletKey) -> NotFound:
    return NotFound(f"user '{key[1]}' has no wallet of {key[2]}")
