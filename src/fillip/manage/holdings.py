"""Wallets as stored: read with their lots, locked, and written once an operation has moved them."""

from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

from msgspec.structs import asdict
from sqlalchemy import Row, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from fillip.core.ports import Caller
from fillip.core.wallet import Balance, Lot, Transfer, Wallet, WalletKey
from fillip.manage.refusals import NotFound
from fillip.manage.tables import wallet, wallet_lot, wallet_transfer

_KEY = ("tenant_id", "user_id", "currency")


async def lock_wallet(connection: AsyncConnection, key: WalletKey, lots: Literal["open", "all"] = "open") -> Wallet:
    """One wallet, locked until the transaction ends, with its lots; raises NotFound."""
    row = (await connection.execute(select(wallet).where(_is(wallet, key)).with_for_update())).one_or_none()
    if row is None:
        raise NotFound(f"user '{key[1]}' has no wallet of {key[2]}")
    return (await load_lots(connection, [row], lots))[0]


async def make_wallet(connection: AsyncConnection, key: WalletKey) -> None:
    """Give the user an empty wallet where there is none; holds a new one until the transaction ends."""
    row = dict(zip(_KEY, key, strict=True)) | asdict(Balance())
    await connection.execute(insert(wallet).values(row).on_conflict_do_nothing())


async def load_lots(
    connection: AsyncConnection, rows: Sequence[Row[Any]], lots: Literal["open", "all"] = "open"
) -> list[Wallet]:
    """The wallets of these rows with their lots, in the same order."""
    found = {}
    for row in rows:
        key = (row.tenant_id, row.user_id, row.currency)
        found[key] = Wallet(key, Balance(**{name: row._mapping[name] for name in Balance.__struct_fields__}))
    wanted = select(wallet_lot).where(tuple_(*(wallet_lot.c[name] for name in _KEY)).in_(list(found)))
    if lots == "open":
        wanted = wanted.where(wallet_lot.c.remaining > 0)
    for row in await connection.execute(wanted):
        lot = Lot(**{name: row._mapping[name] for name in Lot.__struct_fields__})
        found[row.tenant_id, row.user_id, row.currency].lots[lot.lot_id] = lot
    return list(found.values())


async def store_wallet(connection: AsyncConnection, moved: Wallet) -> None:
    """Write what was moved in a locked wallet: its balance, lots and transfers."""
    key = dict(zip(_KEY, moved.key, strict=True))
    balance = asdict(moved.balance) | {"updated_at": func.clock_timestamp()}
    await connection.execute(update(wallet).where(_is(wallet, moved.key)).values(balance))
    if moved.changed:
        lots = insert(wallet_lot)
        changing = {name: lots.excluded[name] for name in ("account", "remaining", "expired", "reversed")}
        lots = lots.on_conflict_do_update(index_elements=["tenant_id", "lot_id"], set_=changing)
        await connection.execute(lots, [key | asdict(moved.lots[lot_id]) for lot_id in moved.changed])
    await connection.execute(insert(wallet_transfer), [key | asdict(transfer) for transfer in moved.transfers])


async def find_transfer(connection: AsyncConnection, caller: Caller, transfer_id: UUID) -> Transfer | None:
    """One transfer of the caller's tenant."""
    statement = select(wallet_transfer).where(
        wallet_transfer.c.tenant_id == caller.tenant_id, wallet_transfer.c.transfer_id == transfer_id
    )
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else Transfer(**{name: row._mapping[name] for name in Transfer.__struct_fields__})


def _is(table: Any, key: WalletKey) -> Any:  # noqa: ANN401
    return tuple_(*(table.c[name] for name in _KEY)) == key
