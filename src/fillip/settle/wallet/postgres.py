"""Wallets in PostgreSQL, as role fillip_worker inside a transaction that has its tenants (app.tenants) set."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

import asyncpg
from msgspec import json

from fillip.core.errors import Retry
from fillip.core.ledger.wallet import (
    FEW_LOTS,
    PAGE_LOTS,
    Balance,
    Draw,
    Lot,
    Part,
    PointsToReverse,
    Transfer,
    Wallet,
    WalletKey,
    identify_reversal,
)
from fillip.settle.columns import to_columns
from fillip.settle.wallet.posting import Terms

SQL = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.sql")}
MAX_DRAWS = 100
_BALANCE_FIELDS = Balance.__struct_fields__
_LOT_FIELDS = Lot.__struct_fields__
_DRAW_FIELDS = Draw.__struct_fields__
_TRANSFER_FIELDS = Transfer.__struct_fields__
_KEY = ("tenant_id", "user_id", "currency")
WALLET_ROW = (*_KEY, *_BALANCE_FIELDS, "fresh")
LOT_ROW = (*_KEY, *_LOT_FIELDS)
TRANSFER_ROW = (*_KEY, *_TRANSFER_FIELDS)
DRAW_ROW = (*_KEY, *_DRAW_FIELDS)
PART_ROW = ("tenant_id", "transfer_id", "part", "amount", "lots")


class PostgresWallets:
    """The wallets of one open transaction. Every method may wait for locks."""

    def __init__(
        self,
        connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]",
        page_lots: int = PAGE_LOTS,
        few_lots: int = FEW_LOTS,
    ) -> None:
        """`connection` is inside a transaction."""
        self._connection = connection
        self._page_lots = page_lots
        self._few_lots = few_lots

    async def lock(self, keys: Sequence[WalletKey]) -> dict[WalletKey, Wallet]:
        """A wallet for each key (sorted), locked, without its lots: enough to grant. A missing one is fresh."""
        found = await self._lock("lock_wallets", keys)
        return {key: found.get(key) or Wallet(key, None) for key in keys}

    async def move_due(self, keys: Sequence[WalletKey], at: datetime) -> int:
        """Bring those of these wallets (sorted) that nobody holds up to `at`, and let a page of their lots pay what draws
        are owed; how many transfers and payments that made.
        """
        wallets = await self._lock("lock_free_wallets", keys)
        await self._mature(wallets, at)
        await self._pay_draws(wallets)
        await self._write(wallets.values())
        await self._connection.execute(SQL["set_due"], *to_columns(wallets, 3), at)
        return sum(len(wallet.transfers) + len(wallet.parts) for wallet in wallets.values())

    async def prepare(
        self, wallets: Mapping[WalletKey, Wallet], takings: Sequence[PointsToReverse], at: datetime
    ) -> Terms:
        """Bring the wallets of these takings, which are locked, up to `at`, and hand them the lots and draws that are needed;
        what else the takings go by.
        """
        wanted = {taking.wallet: wallets[taking.wallet] for taking in takings}
        named = [(taking.wallet[0], taking.incentive_id) for taking in takings]
        for key, lots in _group_lots(await self._connection.fetch(SQL["read_lots"], *to_columns(named, 2))).items():
            wanted[key].name_lots(lots)
        await self._mature(wanted, at)
        owing = [key for key, wallet in wanted.items() if wallet.balance.owed]
        for key, draws in (await self._read_draws(owing)).items():
            wanted[key].draws = {draw.transfer_id: draw for draw in draws} | wanted[key].draws
        floors = await self._read_floors({(key[0], key[2]) for key in wanted})
        return Terms(floors, await self._read_amounts([(t.wallet[0], identify_reversal(t)) for t in takings]))

    async def write(self, wallets: Iterable[Wallet]) -> None:
        """Store what was moved in locked wallets. Raises Retry when another writer made one of them first."""
        await self._write(wallet for wallet in wallets if wallet.transfers)

    async def _write(self, wallets: Iterable[Wallet]) -> None:
        moved = list(wallets)
        if not moved:
            return
        rows = [(*w.key, *(getattr(w.balance, name) for name in _BALANCE_FIELDS), w.fresh) for w in moved]
        lots = [(*w.key, *_list_values(w.lots[lot_id], _LOT_FIELDS)) for w in moved for lot_id in w.changed]
        transfers = [(*w.key, *_write_transfer(transfer)) for w in moved for transfer in w.transfers]
        columns = (
            *to_columns(rows, len(WALLET_ROW)),
            *to_columns(lots, len(LOT_ROW)),
            *to_columns(transfers, len(TRANSFER_ROW)),
        )
        if await self._connection.fetchval(SQL["write_wallets"], *columns) != len(moved):
            raise Retry("another writer made a wallet of this batch first")
        if draws := [(*w.key, *_list_values(draw, _DRAW_FIELDS)) for w in moved for draw in w.draws.values()]:
            parts = [(w.key[0], *_write_part(part)) for w in moved for part in w.parts]
            columns = (*to_columns(draws, len(DRAW_ROW)), *to_columns(parts, len(PART_ROW)))
            await self._connection.execute(SQL["write_draws"], *columns)

    async def _lock(self, name: str, keys: Sequence[WalletKey]) -> dict[WalletKey, Wallet]:
        rows = await self._connection.fetch(SQL[name], *to_columns(keys, 3))
        return {(row[0], row[1], row[2]): Wallet((row[0], row[1], row[2]), Balance(*row[3:])) for row in rows}

    async def _mature(self, wallets: Mapping[WalletKey, Wallet], at: datetime) -> None:
        """Bring locked wallets up to `at`: their due lots one by one where they are few, else by their sums."""
        old = [(*key, w.balance.activated_to, w.balance.expired_to) for key, w in wallets.items() if not w.fresh]
        listed = _group_lots(
            await self._connection.fetch(SQL["list_dues"], *to_columns(old, 5), at, self._few_lots + 1) if old else ()
        )
        many = [row for row in old if len(listed.get(row[:3], ())) > self._few_lots]
        for row in await self._connection.fetch(SQL["sum_dues"], *to_columns(many, 5), at) if many else ():
            wallets[_name(row)].mature_many(at, row["activating"], row["expiring"])
        for key, lots in listed.items():
            if len(lots) <= self._few_lots:
                wallets[key].mature(at, lots)

    async def _pay_draws(self, wallets: Mapping[WalletKey, Wallet]) -> None:
        draws = await self._read_draws(wallets)
        if not draws:
            return
        pending = [(*key, wallets[key].balance.activated_to, some[0].since) for key, some in draws.items()]
        at_most = max(1, self._page_lots // len(pending))
        pages = _group_lots(await self._connection.fetch(SQL["read_page"], *to_columns(pending, 5), at_most))
        for key, some in draws.items():
            wallets[key].turn_to(pages.get(key, ()))
            wallets[key].pay_draws([draw for draw in some if draw.since == some[0].since])

    async def _read_draws(self, keys: Collection[WalletKey]) -> dict[WalletKey, list[Draw]]:
        draws: dict[WalletKey, list[Draw]] = {}
        for row in await self._connection.fetch(SQL["read_draws"], *to_columns(keys, 3), MAX_DRAWS) if keys else ():
            draws.setdefault(_name(row), []).append(Draw(*(row[name] for name in _DRAW_FIELDS)))
        return draws

    async def _read_floors(self, currencies: Collection[tuple[str, str]]) -> dict[tuple[str, str], int | None]:
        rows = await self._connection.fetch(SQL["read_floors"], *to_columns(currencies, 2))
        return {(tenant, currency): floor for tenant, currency, floor in rows}

    async def _read_amounts(self, transfers: Sequence[tuple[str, UUID]]) -> dict[UUID, int]:
        rows = await self._connection.fetch(SQL["read_transfers"], *to_columns(transfers, 2))
        return dict(map(tuple, rows))


def _name(row: asyncpg.Record) -> WalletKey:
    return row["tenant_id"], row["user_id"], row["currency"]


def _group_lots(rows: Iterable[asyncpg.Record]) -> dict[WalletKey, list[Lot]]:
    lots: dict[WalletKey, list[Lot]] = {}
    for row in rows:
        lots.setdefault(_name(row), []).append(Lot(*(row[name] for name in _LOT_FIELDS)))
    return lots


def _list_values(thing: Lot | Draw, fields: Sequence[str]) -> tuple[object, ...]:
    return tuple(getattr(thing, name) for name in fields)


def _write_transfer(transfer: Transfer) -> tuple[object, ...]:
    values = {name: getattr(transfer, name) for name in _TRANSFER_FIELDS}
    return tuple((values | {"lots": _encode(transfer.lots)}).values())


def _write_part(part: Part) -> tuple[object, ...]:
    return part.transfer_id, part.part, -sum(part.lots.values()), _encode(part.lots)


def _encode(lots: Mapping[str, int]) -> str:
    return json.encode(lots).decode()
