"""Holds of points: made, captured, and given back portion by portion, the same for the API and the sweep."""

from datetime import datetime
from uuid import UUID

from msgspec import json
from msgspec.structs import replace

from fillip.core.ledger.hold import PointsHold, StoredHold
from fillip.core.ledger.points import Transfer, WalletKey
from fillip.core.ledger.wallet import Wallet
from fillip.rows.connection import Row
from fillip.rows.wallet.postgres import SQL
from fillip.rows.wallet.refund import RELEASE, Refund
from fillip.rows.wallet.refund_postgres import RefundRows

_HOLD_FIELDS = PointsHold.__struct_fields__


class HoldRows(RefundRows):
    """The holds of wallets in one open transaction. Every method may wait for locks."""

    async def find_hold(self, key: WalletKey, transfer_id: UUID) -> StoredHold | None:
        """A hold of a wallet."""
        found = await self._connection.fetch(SQL["read_hold"], *key, transfer_id)
        return _read_hold(found[0]) if found else None

    async def make_hold(self, wallet: Wallet, hold: PointsHold) -> None:
        """Store a hold that was just made in a locked wallet."""
        await self.store([wallet])
        await self._write(wallet, hold)

    async def end_hold(self, wallet: Wallet, stored: StoredHold, ended: PointsHold, at: datetime) -> PointsHold:
        """Bring a locked wallet and its hold `stored` on to `ended`, by one portion of what comes back; the hold as it is now.

        The wallet is brought up to `at`. Where the hold's `due_at` is not None, the same is to be done again in a transaction of its own.
        """
        made, is_due = stored.made, False
        if ended.captured and not stored.hold.captured:
            wallet.capture(made, ended.captured, at)
        if ended.back:
            found = await self.find_refund(made, wallet, RELEASE)
            release = found or Refund(RELEASE, ended.back)
            portions = await self.read_portions(wallet, made, release.returned)
            await self.refund_portion(wallet, made, release, portions, at)
            is_due = not release.is_done
        else:
            await self.store([wallet])
        hold = replace(ended, due_at=at if is_due else None)
        await self._write(wallet, hold)
        return hold

    async def _write(self, wallet: Wallet, hold: PointsHold) -> None:
        await self._connection.fetch(SQL["write_hold"], *wallet.key, *(getattr(hold, name) for name in _HOLD_FIELDS))


def _read_hold(row: Row) -> StoredHold:
    values = {name: row[name] for name in Transfer.__struct_fields__}
    made = Transfer(**(values | {"lots": json.decode(row["lots"], type=dict[str, int])}))
    return StoredHold(PointsHold(*(row[name] for name in _HOLD_FIELDS)), made)
