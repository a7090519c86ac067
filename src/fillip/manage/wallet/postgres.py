"""Wallets as stored: brought up to a time, locked with the lots that an operation needs, and written once it moved them."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from msgspec.structs import asdict
from sqlalchemy import ColumnElement, DateTime, Row, Select, and_, delete, func, literal, select, text, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from fillip.core.ledger.wallet import FEW_LOTS, PAGE_LOTS, Balance, Draw, Lot, Transfer, Wallet, WalletKey
from fillip.core.ports import Caller
from fillip.http.errors import NotFound
from fillip.manage.store.wallet_tables import wallet, wallet_draw, wallet_lot, wallet_transfer

_KEY = ("tenant_id", "user_id", "currency")
_LOTS = wallet_lot.c
_NEXT_EXPIRIES, _STORE_LOTS = [
    text(Path(__file__).with_name(name).read_text(encoding="utf-8")) for name in ("next_expiries.sql", "store_lots.sql")
]


async def lock_wallet(connection: AsyncConnection, key: WalletKey, at: datetime) -> Wallet:
    """One wallet, locked until the transaction ends and brought up to `at`; raises NotFound."""
    row = (await connection.execute(select(wallet).where(is_in(wallet, key)).with_for_update())).one_or_none()
    if row is None:
        raise NotFound(f"user '{key[1]}' has no wallet of {key[2]}")
    held = _read_wallet(row)
    given = (*key, _at(held.balance.activated_to), _at(held.balance.expired_to), _at(at))
    due = await _list_lots(connection, func.list_due_lots(*given, FEW_LOTS + 1))
    if len(due) <= FEW_LOTS:
        held.mature(at, due)
    else:
        sums = func.sum_due_lots(*given).table_valued("activating", "expiring")
        held.mature_many(at, *(await connection.execute(select(sums))).one())
    return held


async def open_page(connection: AsyncConnection, held: Wallet) -> None:
    """Hand a locked wallet the lots that are spent first; where lots owe already, theirs come before."""
    if not held.balance.owed:
        since = (_at(held.balance.activated_to), _at(held.balance.expired_to))
        held.turn_to(await _list_lots(connection, func.list_first_lots(*held.key, *since, PAGE_LOTS)))


async def make_wallet(connection: AsyncConnection, key: WalletKey) -> None:
    """Give the user an empty wallet where there is none; holds a new one until the transaction ends."""
    row = dict(zip(_KEY, key, strict=True)) | asdict(Balance())
    await connection.execute(insert(wallet).values(row).on_conflict_do_nothing())


def select_wallets(caller: Caller, user_id: str, at: datetime) -> Select[Any]:
    """A user's wallets with the sums of what fell due in each by `at`."""
    columns = (wallet.c.tenant_id, wallet.c.user_id, wallet.c.currency, wallet.c.activated_to, wallet.c.expired_to)
    sums = func.sum_due_lots(*columns, _at(at)).table_valued("activating", "expiring").lateral()
    mine = and_(wallet.c.tenant_id == caller.tenant_id, wallet.c.user_id == user_id)
    return select(wallet, sums.c.activating, sums.c.expiring).select_from(wallet.join(sums, true())).where(mine)


def bring_up(rows: Sequence[Row[Any]], at: datetime) -> list[Wallet]:
    """The wallets of rows of `select_wallets`, to be shown as of `at`: nothing of it is to be written."""
    shown = []
    for row in rows:
        held = _read_wallet(row)
        held.mature_many(at, row.activating, row.expiring)
        shown.append(held)
    return shown


async def find_next_expiries(connection: AsyncConnection, shown: Sequence[Wallet]) -> dict[str, tuple[datetime, int]]:
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


async def store_wallet(connection: AsyncConnection, moved: Wallet) -> None:
    """Write what was moved in a locked wallet: its balance, lots, transfers and draws."""
    key = dict(zip(_KEY, moved.key, strict=True))
    balance = asdict(moved.balance) | {"updated_at": func.clock_timestamp()}
    await connection.execute(update(wallet).where(is_in(wallet, moved.key)).values(balance))
    if lots := [moved.lots[lot_id] for lot_id in moved.changed]:
        columns = {name: [getattr(lot, name) for lot in lots] for name in Lot.__struct_fields__}
        await connection.execute(_STORE_LOTS, key | columns)
    await connection.execute(insert(wallet_transfer), [key | asdict(transfer) for transfer in moved.transfers])
    for draw in moved.draws.values():
        await _store_draw(connection, moved.key, draw)


async def find_transfer(connection: AsyncConnection, caller: Caller, transfer_id: UUID) -> Transfer | None:
    """One transfer of the caller's tenant."""
    statement = select(wallet_transfer).where(
        wallet_transfer.c.tenant_id == caller.tenant_id, wallet_transfer.c.transfer_id == transfer_id
    )
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else Transfer(**{name: row._mapping[name] for name in Transfer.__struct_fields__})


async def find_end(connection: AsyncConnection, key: WalletKey, transfer: Transfer) -> Transfer:
    """The last transfer of the operation that made this one: what it brought may have expired at once."""
    mine = is_in(wallet_transfer, key)
    column = wallet_transfer.c
    behind = column.seq.between(transfer.seq, transfer.seq + PAGE_LOTS + 1) & (column.made_at == transfer.made_at)
    statement = select(*(column[name] for name in Transfer.__struct_fields__)).where(mine, behind)
    return Transfer(*(await connection.execute(statement.order_by(column.seq.desc()).limit(1))).one())


async def read_lots(connection: AsyncConnection, statement: Select[Any]) -> list[Lot]:
    """The lots that a statement on wallet_lot finds."""
    rows = await connection.execute(statement.with_only_columns(*(_LOTS[name] for name in Lot.__struct_fields__)))
    return [Lot(*row) for row in rows]


def is_in(table: Any, key: WalletKey) -> ColumnElement[bool]:  # noqa: ANN401
    """That a row of a table belongs to a wallet."""
    return and_(*(table.c[name] == value for name, value in zip(_KEY, key, strict=True)))


async def _list_lots(connection: AsyncConnection, call: Any) -> list[Lot]:  # noqa: ANN401
    found = call.table_valued(*[column._copy() for column in _LOTS])
    rows = await connection.execute(select(*(found.c[name] for name in Lot.__struct_fields__)))
    return [Lot(*row) for row in rows]


async def _store_draw(connection: AsyncConnection, key: WalletKey, draw: Draw) -> None:
    if draw.owed:
        row = dict(zip(_KEY, key, strict=True)) | asdict(draw)
        statement = insert(wallet_draw).values(row)
        index = [*_KEY, "seq"]
        await connection.execute(statement.on_conflict_do_update(index_elements=index, set_={"owed": draw.owed}))
    else:
        await connection.execute(delete(wallet_draw).where(is_in(wallet_draw, key), wallet_draw.c.seq == draw.seq))


def _read_wallet(row: Row[Any]) -> Wallet:
    balance = Balance(**{name: row._mapping[name] for name in Balance.__struct_fields__})
    return Wallet((row.tenant_id, row.user_id, row.currency), balance)


def _at(time: datetime) -> ColumnElement[datetime]:
    return literal(time, DateTime(timezone=True))
