"""One user's wallet goes into another's, some lots at a time: by transfers out of the one and into the other, and the lots as they are.

So the sums of the tenant stay, lots keep their expiry, and what was spent can still be refunded, by who the user is now. A lot of which
nothing remains stays where it is until a refund or a reversal needs it: it has no points that would go with it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Self
from uuid import UUID

from msgspec.structs import replace

from fillip.core.identity import identify
from fillip.core.ledger.points import Account, Lot
from fillip.core.ledger.wallet_state import WalletState

Merging = tuple[str, datetime]
"""The id of a merge, and when."""
_NOTHING: Mapping[str, int] = {}


def find_common(at: datetime, *wallets: WalletState) -> datetime:
    """The instant that wallets are brought up to before one goes into the other: `at`, or what one of them was brought up to by a clock that was ahead."""
    return max(at, *(max(each.balance.activated_to, each.balance.expired_to) for each in wallets))


class MergingWallet(WalletState):
    """One wallet, locked, as it goes into another. Both are brought up to the time of the merge, and it owes no lots to a draw."""

    def hand_over(self, into: Self, named: Iterable[Lot], merging: Merging) -> int:
        """Move these lots of it `into` the other, each with what remains of it; how much of that was pending or active.

        That goes by a transfer for each lot, so that their order stays one, and pays the other's debt, the lot that expires first at first.
        What has expired goes together. A lot of which nothing remains is handed in there, to be stored if it changes.
        """
        ids, at = [lot.lot_id for lot in named], merging[1]
        self.name_lots(named)
        self.changed.difference_update(ids)  # the other stores them
        brought = {name: max(at, getattr(into.balance, name)) for name in ("activated_to", "expired_to")}
        into.balance = replace(into.balance, **brought)
        lots = sorted((self.lots[lot_id] for lot_id in ids), key=lambda lot: (lot.end, lot.seq))
        into.name_lots(replace(lot, seq=into.balance.last_seq + 1) for lot in lots if not lot.remaining)
        over = [lot for lot in lots if lot.remaining and lot.end <= at]
        for lot in over:
            into._put(replace(lot, seq=into.balance.last_seq + 1))
        if over:
            same = {lot.lot_id.hex: 0 for lot in over}
            self._pass_on(into, "expired", sum(lot.remaining for lot in over), merging, same, same)
        open_ = [lot for lot in lots if lot.remaining and lot.end > at]
        for lot in open_:
            account: Account = "pending" if lot.available_at and lot.available_at > at else "active"
            paid = into._measure_debt(lot.remaining) if account == "active" else 0
            into._put(replace(lot, remaining=lot.remaining - paid, seq=into.balance.last_seq + 1))
            name, left = lot.lot_id.hex, lot.remaining - paid
            self._pass_on(into, account, lot.remaining, merging, {name: -lot.remaining}, {name: left})
        return sum(lot.remaining for lot in open_)

    def hand_over_sums(self, into: Self, held: Sequence[int], merging: Merging) -> list[int]:
        """Move what is no lot's `into` the other: what was spent and reversed, what holds have `held`, and its debt, which comes on top of the
        other's; the numbers there of what is held. The other has its page.
        """
        numbers = []
        for amount in held:
            self._pass_on(into, "held", amount, merging)
            numbers.append(into.balance.last_seq)
        ended: tuple[Account, Account] = ("spent", "reversed")
        for account in ended:
            if amount := getattr(self.balance, account):
                self._pass_on(into, account, amount, merging)
        if (debt := -self.balance.active) > 0:
            changes, owed = into._draw(min(debt, max(0, into.balance.active)))
            merge_id, at = merging
            given, taken = self._name("debt", merge_id)
            self._move(given, "merge", "issued", "active", debt, {}, taken.hex, at, merge_id)
            into._move(taken, "merge", "active", "issued", debt, changes, given.hex, at, merge_id, owed)
            into.balance = replace(into.balance, floor=min(into.balance.active, 0))
        return numbers

    def _pass_on(
        self,
        into: Self,
        account: Account,
        amount: int,
        merging: Merging,
        mine: Mapping[str, int] = _NOTHING,
        theirs: Mapping[str, int] = _NOTHING,
    ) -> None:
        """Some of one account; what that does to lots here and there."""
        merge_id, at = merging
        given, taken = self._name(account, merge_id)
        self._move(given, "merge", account, "issued", amount, mine, taken.hex, at, merge_id)
        into._move(taken, "merge", "issued", account, amount, theirs, given.hex, at, merge_id)

    def _name(self, what: str, merge_id: str) -> tuple[UUID, UUID]:
        """Ids of the next transfer here, and of its counterpart."""
        given = identify("merge", *self.key, merge_id, what, str(self.balance.last_seq + 1))
        return given, identify("merged", given.hex)
