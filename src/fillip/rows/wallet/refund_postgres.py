"""Spends and holds given back, whole or in pieces, portion by portion: each in a transaction of its own, so that nobody waits for a
long one.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import json
from msgspec.structs import asdict

from fillip.core.ledger.points import Draw, Portion, Transfer, identify_refund
from fillip.core.ledger.wallet import Wallet
from fillip.rows.wallet.postgres import MAX_DRAWS, SQL, WalletRows, read_draw, read_lot
from fillip.rows.wallet.refund import RELEASE, LotPortion, Refund, SpentPortions


class RefundRows(WalletRows):
    """What is given back in the wallets of one open transaction. Every method may wait for locks."""

    async def find_refund(self, spent: Transfer, wallet: Wallet, refund_id: str) -> Refund | None:
        """The refund of a spend by this id, or the release of a hold."""
        found = await self._connection.fetch(SQL["read_refund"], wallet.key[0], spent.transfer_id, refund_id)
        return Refund(*(found[0][name] for name in Refund.__struct_fields__)) if found else None

    async def read_portions(self, wallet: Wallet, spent: Transfer, returned: int) -> SpentPortions:
        """What lots gave for a spend, without what was given back of it."""
        portions, end = SpentPortions(spent.amount, []), 0
        rows = await self._connection.fetch(SQL["read_parts"], wallet.key[0], spent.transfer_id)
        for part, amount in [(0, -sum(spent.lots.values())), *((row["part"], row["amount"]) for row in rows)]:
            if amount:
                portions.lots.append(LotPortion(part, end, end := end + amount))
        portions.take(returned)
        return portions

    async def refund_portion(
        self, wallet: Wallet, spent: Transfer, refund: Refund, portions: SpentPortions, at: datetime
    ) -> UUID:
        """Give one portion of a refund back and write it, as the transfer of this id; `refund` and `portions` move on by it.

        `wallet` is locked and brought up to `at`; what was moved in it before is written too.
        """
        of_part = portions.lots[-1].end - portions.lots[-1].begin if portions.lots else 0
        amount = min(refund.amount - refund.returned, portions.bare + of_part)
        owed, late = await self._read_owed(wallet, spent, portions.bare)
        shares = await self._read_shares(wallet, spent, portions, max(0, amount - portions.bare), at)
        spare = await self._find_spare(wallet, shares, max(0, amount - owed))
        transfer_id = identify_refund(spent.transfer_id, spent.amount - portions.top)
        name = None if refund.refund_id == RELEASE else refund.refund_id
        wallet.give_back(transfer_id, spent, name, Portion(amount, shares, owed, late, spare), at)
        await self.store([wallet])
        portions.take(amount)
        refund.returned, refund.last_id = refund.returned + amount, transfer_id
        await self._connection.fetch(SQL["write_refund"], wallet.key[0], spent.transfer_id, *asdict(refund).values())
        return transfer_id

    async def _read_owed(self, wallet: Wallet, spent: Transfer, at_most: int) -> tuple[int, int]:
        """What of a spend no lot has given yet, up to so much, and what of that was to come from lots that have expired since."""
        found = (
            await self._connection.fetch(SQL["read_owed"], *wallet.key, spent.seq, spent.transfer_id) if at_most else ()
        )
        if not found:
            return 0, 0
        [row] = found
        wallet.draws[spent.transfer_id] = draw = read_draw(row)
        over = row["all_of_them"] - wallet.balance.owed - row["before"]
        owed = min(draw.owed, at_most)
        return owed, min(max(over, 0), owed)

    async def _read_shares(
        self, wallet: Wallet, spent: Transfer, portions: SpentPortions, amount: int, at: datetime
    ) -> Mapping[str, int]:
        """What each lot gave of the uppermost `amount` of the last portion; those lots are handed to the wallet."""
        if not amount:
            return {}
        last, shares = portions.lots[-1], spent.lots
        if last.part:
            [row] = await self._connection.fetch(SQL["read_part"], wallet.key[0], spent.transfer_id, last.part)
            shares = json.decode(row["lots"], type=dict[str, int])
        await self.name_lots({wallet.key: wallet}, [(wallet.key[0], UUID(lot_id)) for lot_id in shares], at)
        end = last.end - last.begin
        return wallet.cut_shares(shares, end - amount, end)

    async def _find_spare(self, wallet: Wallet, shares: Mapping[str, int], amount: int) -> Sequence[UUID]:
        """Lots that were used besides those that gave, where a reversal left these no room, what has expired last; the newest
        draws of reversals and debts come with them. Only then it reads the lots of the wallet one by one.
        """
        if wallet.measure_room(shares) >= amount + min(wallet.balance.active, 0):
            return ()
        for row in await self._connection.fetch(SQL["read_newest_draws"], *wallet.key, MAX_DRAWS):
            draw: Draw = read_draw(row)
            wallet.draws.setdefault(draw.transfer_id, draw)
        given = (*wallet.key, wallet.balance.expired_to)
        lots = [read_lot(row) for row in await self._connection.fetch(SQL["read_used_lots"], *given, self._page_lots)]
        wallet.name_lots(lots)
        return [lot.lot_id for lot in lots]
