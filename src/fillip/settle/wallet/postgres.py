"""Wallets in PostgreSQL, as role fillip_worker inside a transaction that has its tenants (app.tenants) set."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

import asyncpg
from msgspec import json

from fillip.core.errors import Retry
from fillip.core.wallet import Balance, Lot, Taken, Taking, Transfer, Wallet, WalletKey, identify_reversal

SQL = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.sql")}
_BALANCE_FIELDS = Balance.__struct_fields__
_LOT_FIELDS = Lot.__struct_fields__
_TRANSFER_FIELDS = Transfer.__struct_fields__


class PostgresWallets:
    """The wallets of one open transaction. Every method may wait for locks."""

    def __init__(self, connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]") -> None:
        """`connection` is inside a transaction."""
        self._connection = connection

    async def lock(self, keys: Sequence[WalletKey]) -> dict[WalletKey, Wallet]:
        """A wallet for each key (sorted), locked, without its lots: enough to grant. A missing one is fresh."""
        rows = await self._connection.fetch(SQL["lock_wallets"], *_columns(keys, 3))
        found = {(row[0], row[1], row[2]): Balance(*row[3:]) for row in rows}
        return {key: Wallet(key, found.get(key)) for key in keys}

    async def mature(self, keys: Sequence[WalletKey], at: datetime) -> int:
        """Bring those of these wallets (sorted) that nobody holds up to `at`; how many transfers that made."""
        rows = await self._connection.fetch(SQL["lock_free_wallets"], *_columns(keys, 3))
        wallets = {(row[0], row[1], row[2]): Wallet((row[0], row[1], row[2]), Balance(*row[3:])) for row in rows}
        await self._read_open_lots(wallets)
        for wallet in wallets.values():
            wallet.mature(at)
        await self.write(wallets.values())
        return sum(len(wallet.transfers) for wallet in wallets.values())

    async def take_back(self, takings: Sequence[Taking], at: datetime) -> Mapping[UUID, Taken]:
        """Take points of incentives back for reversals, and write it; see fillip.core.wallet."""
        wallets = await self.lock(sorted({taking.wallet for taking in takings}))
        await self._read_open_lots(wallets)
        named = [(taking.wallet[0], taking.incentive_id) for taking in takings]
        _add_lots(wallets, await self._connection.fetch(SQL["read_lots"], *_columns(named, 2)))
        floors = await self._read_floors({(key[0], key[2]) for key in wallets})
        done = await self._read_amounts([(t.wallet[0], identify_reversal(t)) for t in takings])
        answers: dict[UUID, Taken] = {}
        for taking in takings:
            if (before := done.get(identify_reversal(taking))) is not None:
                answers[taking.incentive_id] = Taken(before)
            elif taken := wallets[taking.wallet].take_back(
                taking, at, floors.get((taking.wallet[0], taking.wallet[2]))
            ):
                answers[taking.incentive_id] = taken
        await self.write(wallets.values())
        return answers

    async def write(self, wallets: Iterable[Wallet]) -> None:
        """Store what was moved in locked wallets. Raises Retry when another writer made one of them first."""
        moved = [wallet for wallet in wallets if wallet.transfers]
        if not moved:
            return
        rows = [(*w.key, *(getattr(w.balance, name) for name in _BALANCE_FIELDS), w.fresh) for w in moved]
        lots = [(*w.key, *_write_lot(w.lots[lot_id])) for w in moved for lot_id in w.changed]
        transfers = [(*w.key, *_write_transfer(transfer)) for w in moved for transfer in w.transfers]
        columns = (*_columns(rows, 11), *_columns(lots, 12), *_columns(transfers, 15))
        if await self._connection.fetchval(SQL["write_wallets"], *columns) != len(moved):
            raise Retry("another writer made a wallet of this batch first")

    async def _read_open_lots(self, wallets: Mapping[WalletKey, Wallet]) -> None:
        _add_lots(wallets, await self._connection.fetch(SQL["read_open_lots"], *_columns(wallets, 3)))

    async def _read_floors(self, currencies: Collection[tuple[str, str]]) -> dict[tuple[str, str], int | None]:
        rows = await self._connection.fetch(SQL["read_floors"], *_columns(currencies, 2))
        return {(tenant, currency): floor for tenant, currency, floor in rows}

    async def _read_amounts(self, transfers: Sequence[tuple[str, UUID]]) -> dict[UUID, int]:
        rows = await self._connection.fetch(SQL["read_transfers"], *_columns(transfers, 2))
        return dict(map(tuple, rows))


def _add_lots(wallets: Mapping[WalletKey, Wallet], rows: Iterable[asyncpg.Record]) -> None:
    for row in rows:
        lot = Lot(**{name: row[name] for name in _LOT_FIELDS})
        wallets[row["tenant_id"], row["user_id"], row["currency"]].lots[lot.lot_id] = lot


def _write_lot(lot: Lot) -> tuple[object, ...]:
    return tuple(getattr(lot, name) for name in _LOT_FIELDS)


def _write_transfer(transfer: Transfer) -> tuple[object, ...]:
    values = {name: getattr(transfer, name) for name in _TRANSFER_FIELDS}
    return tuple((values | {"lots": json.encode(transfer.lots).decode()}).values())


def _columns(rows: Iterable[tuple[object, ...]], width: int) -> list[list[object]]:
    columns = [list(column) for column in zip(*rows, strict=True)]
    return columns or [[] for _ in range(width)]
