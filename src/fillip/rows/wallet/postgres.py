"""Wallets in PostgreSQL: what an operation on them locks, reads and writes, the same for the worker and the API."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

from msgspec import json

from fillip.core.errors import Retry
from fillip.core.ledger.merge import find_common
from fillip.core.ledger.points import FEW_LOTS, PAGE_LOTS, Balance, Draw, Expiries, Lot, Part, Transfer, WalletKey
from fillip.core.ledger.wallet import Wallet
from fillip.rows.columns import to_columns
from fillip.rows.connection import Connection, Row

SQL = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.sql")}
_LOCK_FREE = SQL["lock_wallets"].rstrip() + " SKIP LOCKED"
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
PART_ROW = ("tenant_id", "currency", "transfer_id", "part", "amount", "lots", "expiries", "made_at")


class WalletRows:
    """The wallets of one open transaction. Every method may wait for locks."""

    def __init__(self, connection: Connection, page_lots: int = PAGE_LOTS, few_lots: int = FEW_LOTS) -> None:
        """`connection` is inside a transaction that sees the wallets' tenants."""
        self._connection = connection
        self._page_lots = page_lots
        self._few_lots = few_lots

    async def lock(self, keys: Sequence[WalletKey]) -> dict[WalletKey, Wallet]:
        """A wallet for each key (sorted), locked, without its lots: enough to grant. A missing one is fresh."""
        found = await self._lock(SQL["lock_wallets"], keys)
        return {key: found.get(key) or Wallet(key, None) for key in keys}

    async def lock_free(self, keys: Sequence[WalletKey]) -> dict[WalletKey, Wallet]:
        """Those of these wallets (sorted) that are there and that nobody else holds, locked: it never waits."""
        return await self._lock(_LOCK_FREE, keys)

    async def mature(self, wallets: Mapping[WalletKey, Wallet], at: datetime) -> None:
        """Bring locked wallets up to `at`: their due lots one by one where they are few, else by their sums."""
        old = [(*key, w.balance.activated_to, w.balance.expired_to) for key, w in wallets.items() if not w.fresh]
        listed = _group_lots(
            await self._connection.fetch(SQL["list_dues"], *to_columns(old, 5), at, self._few_lots + 1) if old else ()
        )
        many = [row for row in old if len(listed.get(row[:3], ())) > self._few_lots]
        for row in await self._connection.fetch(SQL["sum_dues"], *to_columns(many, 5), at) if many else ():
            wallets[name_wallet(row)].mature_many(at, row["activating"], row["expiring"])
        for key, lots in listed.items():
            if len(lots) <= self._few_lots:
                wallets[key].mature(at, lots)

    async def name_lots(
        self, wallets: Mapping[WalletKey, Wallet], named: Collection[tuple[str, UUID]], at: datetime
    ) -> None:
        """Hand locked wallets, brought up to `at`, their lots of these (tenant, lot).

        One that is still in the wallet of a user who was merged into the wallet's comes over first, and with it what remains of it.
        """
        rows = await self._connection.fetch(SQL["read_lots"], *to_columns(named, 2))
        strays = [row for row in rows if name_wallet(row) not in wallets and not _has_come(row, wallets)]
        for key, lots in _group_lots(row for row in rows if name_wallet(row) in wallets).items():
            wallets[key].name_lots(lots)
        if strays:
            await self._bring_over(wallets, strays, at)

    async def _bring_over(self, wallets: Mapping[WalletKey, Wallet], strays: Sequence[Row], at: datetime) -> None:
        """Bring these lots into the wallets of who their users are by now. Theirs are locked under these: nobody waits for one of these while
        it has one of theirs.
        """
        left = await self.lock(sorted({name_wallet(row) for row in strays}))
        into = {wallets[row["tenant_id"], row["merged_into"], row["currency"]] for row in strays}
        at = find_common(at, *left.values(), *into)
        await self.mature(left | {wallet.key: wallet for wallet in into}, at)
        ids = [(row["tenant_id"], row["lot_id"]) for row in strays]
        lots = _group_lots(await self._connection.fetch(SQL["read_lots"], *to_columns(ids, 2)))
        merges = {name_wallet(row): (row["merged_into"], row["merge_id"]) for row in strays}
        for key, (merged_into, merge_id) in merges.items():
            left[key].hand_over(wallets[key[0], merged_into, key[2]], lots[key], (merge_id, at))
        await self.store(wallet for wallet in left.values() if wallet.transfers)

    async def open_pages(self, wallets: Mapping[WalletKey, Wallet], since: Mapping[WalletKey, datetime]) -> None:
        """Hand each of these locked wallets its open active lots that expire after an instant: those that come first, of
        all wallets together a page.
        """
        pending = [(*key, wallets[key].balance.activated_to, after) for key, after in since.items()]
        at_most = max(1, self._page_lots // max(1, len(pending)))
        pages = _group_lots(await self._connection.fetch(SQL["read_page"], *to_columns(pending, 5), at_most))
        for key in since:
            wallets[key].turn_to(pages.get(key, ()))

    async def read_draws(self, keys: Collection[WalletKey]) -> dict[WalletKey, list[Draw]]:
        """The oldest 100 draws of each of these locked wallets, by age; no key where there are none."""
        draws: dict[WalletKey, list[Draw]] = {}
        for row in await self._connection.fetch(SQL["read_draws"], *to_columns(keys, 3), MAX_DRAWS) if keys else ():
            draws.setdefault(name_wallet(row), []).append(read_draw(row))
        return draws

    async def store(self, wallets: Iterable[Wallet]) -> None:
        """Store locked wallets as they are now. Raises Retry when another writer made one of them first."""
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
        [written] = await self._connection.fetch(SQL["write_wallets"], *columns)
        if written["wallets"] != len(moved):
            raise Retry("another writer made a wallet of this batch first")
        if draws := [(*w.key, *_list_values(draw, _DRAW_FIELDS)) for w in moved for draw in w.draws.values()]:
            parts = [(w.key[0], w.key[2], *_write_part(part)) for w in moved for part in w.parts]
            columns = (*to_columns(draws, len(DRAW_ROW)), *to_columns(parts, len(PART_ROW)))
            await self._connection.fetch(SQL["write_draws"], *columns)

    async def _lock(self, statement: str, keys: Sequence[WalletKey]) -> dict[WalletKey, Wallet]:
        rows = await self._connection.fetch(statement, *to_columns(keys, 3))
        return {wallet.key: wallet for wallet in map(read_wallet, rows)}


def read_wallet(row: Row) -> Wallet:
    """The wallet that a row of `wallet` holds."""
    return Wallet(name_wallet(row), Balance(*(row[name] for name in _BALANCE_FIELDS)))


def name_wallet(row: Row) -> WalletKey:
    """Which wallet a row is of."""
    return row["tenant_id"], row["user_id"], row["currency"]


def read_lot(row: Row) -> Lot:
    """The lot that a row of `wallet_lot` holds."""
    return Lot(*(row[name] for name in _LOT_FIELDS))


def read_draw(row: Row) -> Draw:
    """The draw that a row of `wallet_draw` holds."""
    return Draw(*(row[name] for name in _DRAW_FIELDS))


def _has_come(row: Row, wallets: Mapping[WalletKey, Wallet]) -> bool:
    """Whether a lot of a merged user came over before in this transaction, and is to be stored."""
    return row["lot_id"] in wallets[row["tenant_id"], row["merged_into"], row["currency"]].lots


def _group_lots(rows: Iterable[Row]) -> dict[WalletKey, list[Lot]]:
    lots: dict[WalletKey, list[Lot]] = {}
    for row in rows:
        lots.setdefault(name_wallet(row), []).append(read_lot(row))
    return lots


def _list_values(thing: Lot | Draw, fields: Sequence[str]) -> tuple[object, ...]:
    return tuple(getattr(thing, name) for name in fields)


def _write_transfer(transfer: Transfer) -> tuple[object, ...]:
    values = {name: getattr(transfer, name) for name in _TRANSFER_FIELDS}
    return tuple((values | {"lots": _encode(transfer.lots), "expiries": _write_expiries(transfer.expiries)}).values())


def _write_part(part: Part) -> tuple[object, ...]:
    amount, expiries = -sum(part.lots.values()), _write_expiries(part.expiries)
    return part.transfer_id, part.part, amount, _encode(part.lots), expiries, part.made_at


def _write_expiries(expiries: Expiries) -> str | None:
    """An array in PostgreSQL's own form: of arrays of different lengths the driver can send no column."""
    if expiries is None:
        return None
    each = (f'"{instant.isoformat()}"' if instant else "NULL" for instant in expiries)
    return f"{{{','.join(each)}}}"


def _encode(lots: Mapping[str, int]) -> str:
    return json.encode(lots).decode()
