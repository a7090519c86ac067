"""Wallets: points as a double-entry ledger per tenant and currency, and what each operation moves.

A user's wallet of a currency has six accounts: pending, active, held, spent, expired, reversed; against them stand two of the
tenant's: `issued`, and `imported` for what users held before Fillip. A transfer moves an amount from its debit account to its
credit account, so it sums to zero by its shape. Points come in lots, one an incentive, upward adjustment or imported row; the lot
that expires first is spent first, ties by age. No operation looks at all lots of a wallet, however many there are:

- A lot is not written when it becomes active or expires. The wallet remembers how far it was brought up to its time: a
  lot is pending while it is available after `activated_to`, and has expired when it expires by `expired_to`. `mature`
  needs what fell due since, lot by lot and with a transfer for each, or where they are many their sum (`mature_many`).
- Who spends over more lots than a page holds leaves the rest owed: a `Draw`. The accounts have moved, the lots follow
  in portions (`pay_draws`): those that expire after `since`, the earliest first.

At every moment

- the open pending lots add up to `pending`, the open active lots to max(active, 0) + owed: who is in debt has no active
  lot of his own, and what comes in pays the debt first;
- of each lot, amount = remaining + reversed + what was used, and nothing of it is below 0; what remained when it expired
  is expired, but for what draws from before owe to it;
- only a reversal takes `active` below 0, and `floor` follows: min(active, 0) then, rising as the debt is paid.

Every operation but a grant comes after `mature`. So no answer depends on when the sweep last ran. Ids are functions of
what they stand for: nothing moves twice.

A reversal takes up to so many points of an incentive back: what is still there of it, else of the user's other points, else into
debt down to the currency's floor. What has expired, or was reversed before, is not taken again. Whatever is not taken is `short`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from msgspec.structs import replace

from fillip.core.identity import identify
from fillip.core.ledger.merge import MergingWallet
from fillip.core.ledger.points import (
    MANY,
    NEVER,
    Account,
    Draw,
    ImportedRow,
    Lot,
    Part,
    PointsReversal,
    PointsToReverse,
    Portion,
    Transfer,
    TransferKind,
    identify_capture,
    identify_grant,
    identify_import,
    identify_receipt,
    identify_reversal,
)


class Wallet(MergingWallet):
    """One wallet, locked, and what each operation moves in it."""

    def grant(
        self, incentive_id: UUID, amount: int, at: datetime, available_at: datetime | None, expires_at: datetime | None
    ) -> None:
        """Issue an incentive's points: pending where they are `available_at` a time, however long ago, else active.

        What the wallet was brought past already becomes active, or expires, at once.
        """
        lot = self._make_lot(incentive_id, amount, available_at, expires_at)
        account: Account = "pending" if available_at else "active"
        transfer_id, changes = identify_grant(self.key, incentive_id), {incentive_id.hex: lot.remaining}
        self._move(transfer_id, "grant", "issued", account, amount, changes, incentive_id.hex, at)
        self._bring_up(lot, at)

    def bring_in(self, import_id: str, row: ImportedRow, at: datetime) -> None:
        """Take in what the user held before, as a row of a balance import says: as a grant does, but from `imported`."""
        lot_id = identify_import(self.key[0], import_id, row.line, row.row_id)
        available_at = row.available_at if row.available_at and row.available_at > at else None
        lot = self._make_lot(lot_id, row.amount, available_at, row.expires_at)
        account: Account = "pending" if available_at else "active"
        source_id = row.row_id or str(row.line)
        self._move(
            lot_id, "import", "imported", account, row.amount, {lot_id.hex: lot.remaining}, source_id, at, import_id
        )
        self._bring_up(lot, at)

    def mature(self, at: datetime, due: Sequence[Lot]) -> None:
        """Bring the wallet up to `at`: due pending lots become active, due lots expire, in the order of their times.

        `due` are all lots that fall due by then: available after `activated_to`, or expiring after `expired_to`.
        """
        pending = [lot for lot in due if self._is_pending(lot) and (lot.available_at or NEVER) <= at]
        for lot in sorted(pending, key=lambda lot: (lot.available_at or NEVER, lot.seq)):
            self._activate(lot, at)
        over = [self.lots.get(lot.lot_id, lot) for lot in due if self.balance.expired_to < lot.end <= at]
        if self.balance.owed:
            self._expire_many(sum(lot.remaining for lot in over), at)
        else:
            for lot in sorted(over, key=lambda lot: (lot.end, lot.seq)):
                self._expire(lot, lot.remaining, at)
        self._note_time(at, pending, over)

    def mature_many(self, at: datetime, activating: int, expiring: int) -> None:
        """The same for lots that are too many to hand in: what remains of those that become active, and that expire."""
        if activating:
            transfer_id = identify("activate", *self.key, str(self.balance.last_seq + 1))
            paid = self._measure_debt(activating)
            self._move(transfer_id, "activate", "pending", "active", activating, {}, MANY, at, owed=paid)
        self._expire_many(expiring, at)
        self._note_time(at, activating, expiring)

    def spend(self, transfer_id: UUID, source_id: str, amount: int, at: datetime) -> bool:
        """Spend active points, those that expire first first; False, and nothing spent, where they are not enough."""
        return self._take("spend", "spent", transfer_id, source_id, amount, at)

    def hold(self, transfer_id: UUID, source_id: str, amount: int, at: datetime) -> bool:
        """Set points aside that a spend would take now; False, and nothing held, where they are not enough. Until they are
        captured or released they do not expire.
        """
        return self._take("hold", "held", transfer_id, source_id, amount, at)

    def capture(self, held: Transfer, amount: int, at: datetime) -> None:
        """Spend so much of what a hold has set aside."""
        self._move(identify_capture(held.transfer_id), "capture", "held", "spent", amount, {}, held.source_id, at)

    def give_back(
        self, transfer_id: UUID, spent: Transfer, refund_id: str | None, portion: Portion, at: datetime
    ) -> None:
        """Undo one portion of a spend, or of a captured hold, for the refund of this id; None: release it of what is held yet.
        It pays the debt, then fills the lots that gave it, with their expiry: what is past that expires at once.

        Where a reversal left those lots no room, what stood in for them comes back: other draws are owed less, then
        `spare` lots that were used are filled, then a lot of its own that does not expire.
        """
        self._note_time(at, None, expired=True)  # nothing is due any more, but what is filled again may be
        left = portion.amount - self._measure_debt(portion.amount)
        changes: dict[str, int] = {}
        forgiven = min(left, portion.owed)
        late = max(0, forgiven - (portion.owed - portion.late))  # what lots that expire later gave comes back first
        left -= self._forgive(spent.transfer_id, forgiven, late)
        for name, share in reversed(list(portion.shares.items())):
            left -= self._fill(UUID(name), min(left, -share), changes)
        for draw in sorted(self.draws.values(), key=lambda draw: -draw.seq):
            left -= self._forgive(draw.transfer_id, min(left, draw.owed, self.balance.owed))
        for lot_id in portion.spare:
            left -= self._fill(lot_id, left, changes)
        if left:
            self._put(Lot(transfer_id, left, left, self.balance.last_seq + 1))
            changes[transfer_id.hex] = left
        source_id, amount = spent.source_id, portion.amount
        if refund_id is None:
            self._move(transfer_id, "release", "held", "active", amount, changes, source_id, at)
        else:
            self._move(transfer_id, "refund", "spent", "active", amount, changes, source_id, at, refund_id)
        for lot in [self.lots[UUID(name)] for name in changes]:
            if self._is_over(lot):
                self._expire(lot, changes[lot.lot_id.hex], at)
        self._expire(None, late, at)

    def measure_page(self) -> int:
        """How much the lots of the page have."""
        return sum(self.lots[lot_id].remaining for lot_id in self._page)

    def give(self, transfer_id: UUID, gift_id: str, amount: int, at: datetime) -> dict[datetime | None, int]:
        """Let active points go to another user, of lots of the page, which have them; how much of them expires when."""
        changes = self._draw_page(amount)
        self._move(transfer_id, "give", "active", "issued", amount, changes, gift_id, at)
        shares: dict[datetime | None, int] = {}
        for lot_id, change in changes.items():
            expires_at = self.lots[UUID(lot_id)].expires_at
            shares[expires_at] = shares.get(expires_at, 0) - change
        return shares

    def receive(self, given: UUID, shares: Mapping[datetime | None, int], at: datetime) -> None:
        """Take in what another user's transfer `given` has let go: a lot for each date of expiry. What expires first pays the debt first."""
        transfer_id, seq, amount = identify_receipt(given), self.balance.last_seq + 1, sum(shares.values())
        debt, changes = self._measure_debt(amount), dict[str, int]()
        for expires_at, share in sorted(shares.items(), key=lambda each: each[0] or NEVER):
            paid = min(debt, share)
            debt -= paid
            lot_id = identify("lot", transfer_id.hex, expires_at.isoformat() if expires_at else "")
            self._put(Lot(lot_id, share, share - paid, seq, expires_at=expires_at))
            changes[lot_id.hex] = share - paid
        self._move(transfer_id, "receive", "issued", "active", amount, changes, given.hex, at)
        for lot in [self.lots[UUID(name)] for name in changes]:
            if self._is_over(lot):
                self._expire(lot, lot.remaining, at)

    def cut_shares(self, shares: Mapping[str, int], begin: int, end: int) -> dict[str, int]:
        """What of the `shares` of lots (below 0) lies from `begin` to `end`, counted in the order in which lots are spent."""
        order = sorted(shares, key=lambda name: (self.lots[UUID(name)].end, self.lots[UUID(name)].seq))
        cut, before = {}, 0
        for name in order:
            part = min(end, before - shares[name]) - max(begin, before)
            before -= shares[name]
            if part > 0:
                cut[name] = -part
        return cut

    def measure_room(self, shares: Mapping[str, int]) -> int:
        """How much of its `shares` the lots can take back."""
        return sum(min(-share, self.lots[UUID(lot_id)].used) for lot_id, share in shares.items())

    def adjust(
        self, transfer_id: UUID, source_id: str, amount: int, reason: str, at: datetime, expires_at: datetime | None
    ) -> bool:
        """Add points, or take them away (`amount` below 0): False, and none taken, where there are fewer."""
        if amount > 0:
            left = amount - self._measure_debt(amount)
            lot = Lot(transfer_id, amount, left, self.balance.last_seq + 1, expires_at=expires_at)
            self._put(lot)
            self._move(
                transfer_id, "adjust", "issued", "active", amount, {transfer_id.hex: left}, source_id, at, reason
            )
            if self._is_over(lot):
                self._expire(lot, left, at)
            return True
        if -amount > self.balance.active:
            return False
        changes, owed = self._draw(-amount)
        self._move(transfer_id, "adjust", "active", "issued", -amount, changes, source_id, at, reason, owed)
        return True

    def take_back(self, taking: PointsToReverse, at: datetime, floor: int | None) -> PointsReversal:
        """See the module. `floor` is the currency's, None: a debt has no bound. `at` is the reversal's time.

        Only the incentive's own lot is looked at: other points that stand in for it are left owed. Where lots owe already,
        the draws are to be handed in, the oldest first: what of the lot was spent, but not given yet, is theirs.
        """
        lot = self.lots.get(taking.incentive_id)
        if lot is None:
            return PointsReversal(0, taking.amount)
        over = self._is_over(lot)
        wanted = min(taking.amount, lot.amount - lot.reversed - (lot.remaining if over else 0))
        if self._is_pending(lot):
            taken = own = min(wanted, lot.remaining)
            owed = 0
        else:
            there = max(self.balance.active, 0)
            deepest = wanted if floor is None else max(0, min(self.balance.active, 0) - floor)
            taken = min(wanted, there + deepest)
            own = 0 if over else min(taken, there, lot.remaining)
            taken -= self._free(lot, taken, own, at)
            owed = min(taken, there) - own
        if taken:
            self._reverse(lot, taken, own, owed, taking, at)
        return PointsReversal(taken, taking.amount - taken)

    def pay_draws(self, draws: Sequence[Draw], at: datetime) -> None:
        """Let the lots of the page give at `at` what these draws are owed, one after the other, as far as the page goes.

        The page starts behind the `since` that all of them share.
        """
        for draw in draws:
            if changes := self._draw_page(draw.owed):
                self._pay(draw, changes, at)

    def _make_lot(self, lot_id: UUID, amount: int, available_at: datetime | None, expires_at: datetime | None) -> Lot:
        """A lot of what comes in next: pending where it is `available_at` a time, else less the debt that it pays."""
        if available_at and expires_at:
            available_at = min(available_at, expires_at)
        left = amount if available_at else amount - self._measure_debt(amount)
        lot = Lot(lot_id, amount, left, self.balance.last_seq + 1, 0, available_at, expires_at)
        self._put(lot)
        return lot

    def _bring_up(self, lot: Lot, at: datetime) -> None:
        """What the wallet was brought past already becomes active, or expires."""
        if lot.available_at and not self._is_pending(lot):
            self._activate(lot, at)
        if self._is_over(lot):
            self._expire(lot, self.lots[lot.lot_id].remaining, at)

    def _take(
        self, kind: TransferKind, credit: Account, transfer_id: UUID, source_id: str, amount: int, at: datetime
    ) -> bool:
        if amount > self.balance.active:
            return False
        changes, owed = self._draw(amount)
        self._move(transfer_id, kind, "active", credit, amount, changes, source_id, at, owed=owed)
        return True

    def _pay(self, draw: Draw, changes: Mapping[str, int], at: datetime) -> None:
        paid = replace(draw, owed=draw.owed + sum(changes.values()), part=draw.part + 1)
        self.draws[draw.transfer_id] = paid
        self.parts.append(Part(draw.transfer_id, paid.part, changes, self._list_expiries(changes), at))
        open_ = sum(part for name, part in changes.items() if not self._is_over(self.lots[UUID(name)]))
        self.balance = replace(self.balance, owed=self.balance.owed + open_)

    def _free(self, lot: Lot, taken: int, own: int, at: datetime) -> int:
        """Let a lot give to the oldest draws what it can't keep when `taken` is reversed of it and `own` comes out of it;
        what of that none of them wants.
        """
        excess = max(0, lot.remaining - own + lot.reversed + taken - lot.amount)
        for draw in sorted(self.draws.values(), key=lambda draw: draw.seq):
            if part := min(excess, draw.owed) if draw.since < lot.end else 0:
                excess -= part
                lot = replace(lot, remaining=lot.remaining - part)
                self._put(lot)
                self._pay(draw, {lot.lot_id.hex: -part}, at)
        return excess

    def _reverse(self, lot: Lot, taken: int, own: int, owed: int, taking: PointsToReverse, at: datetime) -> None:
        account: Account = "pending" if self._is_pending(lot) else "active"
        lot = self.lots[lot.lot_id]
        self._put(replace(lot, remaining=lot.remaining - own, reversed=lot.reversed + taken))
        changes, why = {lot.lot_id.hex: -own} if own else {}, taking.reversal_id
        transfer_id, source_id = identify_reversal(taking), lot.lot_id.hex
        self._move(transfer_id, "reverse", account, "reversed", taken, changes, source_id, at, why, owed)
        self.balance = replace(self.balance, floor=min(self.balance.active, 0))

    def _activate(self, lot: Lot, at: datetime) -> None:
        paid = self._measure_debt(lot.remaining)
        if paid:
            self._put(replace(lot, remaining=lot.remaining - paid))
        changes = {lot.lot_id.hex: -paid} if paid else {}
        transfer_id = identify("activate", *self.key, lot.lot_id.hex)
        self._move(transfer_id, "activate", "pending", "active", lot.remaining, changes, lot.lot_id.hex, at)

    def _expire_many(self, expiring: int, at: datetime) -> None:
        """What draws are owed comes out of the lots that expire first: only what is due beyond that expires."""
        owed = self.balance.owed
        self._expire(None, max(0, expiring - owed), at)
        self.balance = replace(self.balance, owed=max(0, owed - expiring))

    def _note_time(self, at: datetime, activated: object, expired: object) -> None:
        """Remember how far the wallet was brought. Where nothing was due it may stay where it was."""
        if activated:
            self.balance = replace(self.balance, activated_to=max(at, self.balance.activated_to))
        if expired:
            self.balance = replace(self.balance, expired_to=max(at, self.balance.expired_to))

    def _expire(self, lot: Lot | None, amount: int, at: datetime) -> None:
        """Expire points of a lot, None: of many. What it counts as remaining has expired then, so it stays as it is."""
        if amount:
            source_id = lot.lot_id.hex if lot else MANY
            # a refund may fill a lot again after it expired: the number tells the times apart
            transfer_id = identify("expire", *self.key, source_id, str(self.balance.last_seq + 1))
            self._move(transfer_id, "expire", "active", "expired", amount, {}, source_id, at)

    def _fill(self, lot_id: UUID, amount: int, changes: dict[str, int]) -> int:
        """Give a lot back what was used of it, up to `amount`; how much, noted in `changes`."""
        lot = self.lots[lot_id]
        if back := min(amount, lot.used):
            self._put(replace(lot, remaining=lot.remaining + back))
            changes[lot_id.hex] = changes.get(lot_id.hex, 0) + back
        return back

    def _forgive(self, transfer_id: UUID, amount: int, late: int = 0) -> int:
        """Let a draw be owed less by `amount`, of which `late` came from lots that expired meanwhile; the amount."""
        if amount:
            draw = self.draws[transfer_id]
            self.draws[transfer_id] = replace(draw, owed=draw.owed - amount)
            self.balance = replace(self.balance, owed=self.balance.owed - (amount - late))
        return amount
