"""One user's wallet goes into another's: all its accounts, by transfers out of the one and into the other, and its lots as they are.

So the sums of the tenant stay, lots keep their expiry, and what was spent can still be refunded, by who the user is now.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Self, get_args
from uuid import UUID

from msgspec.structs import replace

from fillip.core.identity import identify
from fillip.core.ledger.points import OUTSIDE, Account, Lot
from fillip.core.ledger.wallet_state import WalletState

_ISSUED: Account = "issued"


class MergingWallet(WalletState):
    """One wallet, locked, as it goes into another."""

    def find_hindrance(self) -> str | None:
        """What has to end in it, brought up to now, before it can go into another."""
        balance, currency = self.balance, self.key[2]
        if balance.held:
            return f"{balance.held} {currency} are held by a checkout: capture or void the holds first"
        if balance.owed:
            return f"a large spend of {currency} is still to be taken out of the lots: try again in a few seconds"
        if balance.active < 0:
            return f"the user owes {-balance.active} {currency}: adjust the wallet to 0 first"
        return None

    def hand_over(self, into: Self, lots: Sequence[Lot], merge_id: str, at: datetime) -> dict[UUID, int]:
        """Move all that is in it `into` the other, both brought up to `at`; by lot its number in the order there.

        `lots` are all that it ever had. A lot of which something is there yet has a transfer of its own; what is active pays the other's
        debt, the lot that expires first at first. Nothing hinders it: see find_hindrance.
        """
        self.name_lots(lots)
        into.name_lots(lots)
        open_ = sorted(
            (each for each in lots if each.remaining and each.end > at), key=lambda each: (each.end, each.seq)
        )
        done = {lot.lot_id: 0 for lot in lots}
        for lot in open_:
            account: Account = "pending" if lot.available_at and lot.available_at > at else "active"
            done[lot.lot_id] = self._pass_on(into, account, lot.remaining, lot, (merge_id, at))
        for account in get_args(Account):
            if account not in OUTSIDE | {"pending", "active"} and (amount := getattr(self.balance, account)):
                over = [lot_id for lot_id, seq in done.items() if not seq]
                number = self._pass_on(into, account, amount, None, (merge_id, at), over)
                done |= dict.fromkeys(over, number)
        brought = {name: max(at, getattr(into.balance, name)) for name in ("activated_to", "expired_to")}
        dues = [each.balance.due_at for each in (self, into) if each.balance.due_at]
        into.balance = replace(into.balance, due_at=min(dues, default=None), **brought)
        self.balance = replace(self.balance, due_at=None)
        return done

    def _pass_on(
        self,
        into: Self,
        account: Account,
        amount: int,
        lot: Lot | None,
        told: tuple[str, datetime],
        over: Sequence[UUID] = (),
    ) -> int:
        """One account of it, or what a lot has; `over` are lots that come along with nothing. The number of the transfer there."""
        merge_id, at = told
        given = identify("merge", *self.key, merge_id, account, lot.lot_id.hex if lot else "")
        taken = identify("merged", given.hex)
        mine: Mapping[str, int] = {lot_id.hex: 0 for lot_id in over}
        theirs = mine
        if lot:
            paid = min(amount, max(0, -into.balance.active)) if account == "active" else 0
            mine, theirs = {lot.lot_id.hex: -amount}, {lot.lot_id.hex: amount - paid}
            if paid:
                into._put(replace(lot, remaining=lot.remaining - paid))
        self._move(given, "merge", account, _ISSUED, amount, mine, taken.hex, at, merge_id)
        into._move(taken, "merge", _ISSUED, account, amount, theirs, given.hex, at, merge_id)
        return into.balance.last_seq
