"""Wallets: points as a double-entry ledger per tenant and currency, and what each operation moves.

A user's wallet of a currency has five accounts: pending, active, spent, expired, reversed; against them stands `issued`,
the tenant's issuing account. A transfer moves an amount from its debit account to its credit account, so it sums to
zero by its shape. Points come in lots, one an incentive or upward adjustment; the lot that expires first is spent first,
ties by age. At every moment

- the open pending lots add up to `pending`, the open active lots to max(active, 0): who is in debt has no active lot,
  and what comes in pays the debt first;
- of each lot, amount = remaining + expired + reversed + what was used, and nothing of it is below 0;
- only a reversal takes `active` below 0, and `floor` follows: min(active, 0) then, rising as the debt is paid.

Every operation but a grant first brings the wallet up to its time (`mature`): due pending lots become active, due lots
expire. So no answer depends on when the sweep last ran. Ids are functions of what they stand for: nothing moves twice.

A reversal calls, in the wallet's place of the lock order and inside its own transaction (role fillip_worker),

    fillip.settle.wallet.PostgresWallets(connection).take_back(takings: Sequence[Taking], at: datetime)
        -> Mapping[UUID, Taken]                      # by incentive id
    Taking(wallet=(tenant_id, user_id, currency), reversal_id: str, incentive_id: UUID, amount: int)
    Taken(taken: int, short: int)

which takes up to `amount` points of each incentive back: what is still there of it, else of the user's other points,
else into debt down to the currency's floor; `short` is what that floor kept back. What has expired or was reversed
before is not taken again. The same (reversal id, incentive) once more gives the same `taken` and moves nothing. An
incentive without a wallet lot (another kind, a value of 0) has no entry in the answer. `at` is the reversal event's
time at the broker.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.incentive import identify

POINTS = "POINTS"
"""The currency that every tenant has, and that a reward of points without a currency is in."""

Account = Literal["issued", "pending", "active", "spent", "expired", "reversed"]
TransferKind = Literal["grant", "activate", "spend", "refund", "expire", "reverse", "adjust"]
WalletKey = tuple[str, str, str]
"""(tenant, user, currency); sorted = lock order."""
_NEVER = datetime.max.replace(tzinfo=UTC)


class Balance(Struct, frozen=True):
    """The sums of a wallet's transfers by account; `last_seq` numbers them; `floor` is the lowest that active may be."""

    pending: int = 0
    active: int = 0
    spent: int = 0
    expired: int = 0
    reversed: int = 0
    floor: int = 0
    last_seq: int = 0


class Lot(Struct, frozen=True):
    """Points that came together; `lot_id` is that of the incentive or adjustment, `seq` of the transfer: its age."""

    lot_id: UUID
    account: Literal["pending", "active"]
    amount: int
    remaining: int
    seq: int
    expired: int = 0
    reversed: int = 0
    available_at: datetime | None = None
    expires_at: datetime | None = None

    @property
    def used(self) -> int:
        """What of it was spent, lent to a reversal, or covered a debt."""
        return self.amount - self.remaining - self.expired - self.reversed


class Transfer(Struct, frozen=True):
    """`amount` from `debit` to `credit`; `lots` are the changes of what remains of each lot, by its id in hex."""

    transfer_id: UUID
    seq: int
    kind: TransferKind
    debit: Account
    credit: Account
    amount: int
    lots: Mapping[str, int]
    source_id: str
    reason: str | None
    pending_after: int
    active_after: int
    made_at: datetime


class Taking(Struct, frozen=True):
    """A wish to take `amount` points of one incentive back."""

    wallet: WalletKey
    reversal_id: str
    incentive_id: UUID
    amount: int


class Taken(Struct, frozen=True):
    """What came of a Taking: `short` is what the currency's floor kept back."""

    taken: int
    short: int = 0


class Wallet:
    """One wallet, locked, with the lots that an operation may need; collects what is to be written."""

    def __init__(self, key: WalletKey, balance: Balance | None, lots: Iterable[Lot] = ()) -> None:
        """`balance` None: it has no row yet. `lots` are all open ones (remaining > 0), unless only grants follow."""
        self.key = key
        self.fresh = balance is None
        self.balance = balance or Balance()
        self.lots = {lot.lot_id: lot for lot in lots}
        self.changed: set[UUID] = set()
        self.transfers: list[Transfer] = []

    def grant(
        self, incentive_id: UUID, amount: int, at: datetime, available_at: datetime | None, expires_at: datetime | None
    ) -> None:
        """Issue an incentive's points: pending where they are `available_at` a time, however long ago, else active."""
        left = amount if available_at else amount - self._measure_debt(amount)
        account: Literal["pending", "active"] = "pending" if available_at else "active"
        age = self.balance.last_seq + 1
        self._put(Lot(incentive_id, account, amount, left, age, available_at=available_at, expires_at=expires_at))
        transfer_id, changes = identify("grant", *self.key, incentive_id.hex), {incentive_id.hex: left}
        self._move(transfer_id, "grant", "issued", account, amount, changes, incentive_id.hex, at)

    def mature(self, at: datetime) -> None:
        """Bring the wallet up to `at`: due pending lots become active, due lots expire, in the order of their times."""
        pending = [lot for lot in self.lots.values() if lot.account == "pending" and lot.remaining]
        for lot in sorted(pending, key=lambda lot: (lot.available_at or _NEVER, lot.seq)):
            if (lot.available_at or _NEVER) <= min(at, lot.expires_at or _NEVER):
                self._activate(lot, at)
        for lot in self._list_open():
            if (lot.expires_at or _NEVER) <= at:
                self._expire(lot, at)

    def spend(self, transfer_id: UUID, source_id: str, amount: int, at: datetime) -> bool:
        """Spend active points, those that expire first first; False, and nothing spent, where they are not enough."""
        self.mature(at)
        if amount > self.balance.active:
            return False
        changes = self._draw(amount)
        self._move(transfer_id, "spend", "active", "spent", amount, changes, source_id, at)
        return True

    def refund(self, transfer_id: UUID, spent: Transfer, at: datetime) -> None:
        """Undo a whole spend: pay the debt, then fill its lots again (with their expiry). Needs all lots of the wallet."""
        left = spent.amount - self._measure_debt(spent.amount)
        named = [self.lots[UUID(lot_id)] for lot_id in spent.lots]
        changes: dict[str, int] = {}
        for lot in [*reversed(named), *(lot for lot in self._by_expiry(self.lots.values()) if lot not in named)]:
            if back := min(left, lot.used):
                left -= back
                self._put(replace(lot, account="active", remaining=lot.remaining + back))
                changes[lot.lot_id.hex] = back
        self._move(transfer_id, "refund", "spent", "active", spent.amount, changes, spent.source_id, at)
        self.mature(at)

    def adjust(
        self, transfer_id: UUID, source_id: str, amount: int, reason: str, at: datetime, expires_at: datetime | None
    ) -> bool:
        """Add points, or take them away (`amount` below 0) as far as they are there: False when they are not."""
        self.mature(at)
        if amount > 0:
            left = amount - self._measure_debt(amount)
            self._put(Lot(transfer_id, "active", amount, left, self.balance.last_seq + 1, expires_at=expires_at))
            changes = {transfer_id.hex: left}
            self._move(transfer_id, "adjust", "issued", "active", amount, changes, source_id, at, reason)
            return True
        if -amount > self.balance.active:
            return False
        self._move(transfer_id, "adjust", "active", "issued", -amount, self._draw(-amount), source_id, at, reason)
        return True

    def take_back(self, taking: Taking, at: datetime, floor: int | None) -> Taken | None:
        """See the module; None where the incentive has no lot. `floor` is the currency's, None: a debt has no bound."""
        self.mature(at)
        lot = self.lots.get(taking.incentive_id)
        if lot is None:
            return None
        wanted = min(taking.amount, lot.amount - lot.expired - lot.reversed)
        own = min(wanted, lot.remaining)
        rest = 0 if lot.account == "pending" else wanted - own
        there = max(self.balance.active, 0) - own if lot.account == "active" else 0
        deepest = rest if floor is None else max(0, min(self.balance.active, 0) - floor)
        taken = own + min(rest, there + deepest)
        if taken:
            self._reverse(lot, taken, own, min(rest, there), taking, at)
        return Taken(taken, wanted - taken)

    def _reverse(self, lot: Lot, taken: int, own: int, others: int, taking: Taking, at: datetime) -> None:
        self._put(replace(lot, remaining=lot.remaining - own, reversed=lot.reversed + taken))
        changes = ({lot.lot_id.hex: -own} if own else {}) | self._draw(others)
        transfer_id, source_id, why = identify_reversal(taking), lot.lot_id.hex, taking.reversal_id
        self._move(transfer_id, "reverse", lot.account, "reversed", taken, changes, source_id, at, why)
        self.balance = replace(self.balance, floor=min(self.balance.active, 0))

    def _activate(self, lot: Lot, at: datetime) -> None:
        paid = self._measure_debt(lot.remaining)
        self._put(replace(lot, account="active", remaining=lot.remaining - paid))
        changes = {lot.lot_id.hex: -paid} if paid else {}
        transfer_id = identify("activate", *self.key, lot.lot_id.hex)
        self._move(transfer_id, "activate", "pending", "active", lot.remaining, changes, lot.lot_id.hex, at)

    def _expire(self, lot: Lot, at: datetime) -> None:
        self._put(replace(lot, remaining=0, expired=lot.expired + lot.remaining))
        changes = {lot.lot_id.hex: -lot.remaining}
        # a refund may fill a lot again after it expired: the number tells the times apart
        transfer_id = identify("expire", *self.key, lot.lot_id.hex, str(self.balance.last_seq + 1))
        self._move(transfer_id, "expire", lot.account, "expired", lot.remaining, changes, lot.lot_id.hex, at)

    def _draw(self, amount: int) -> dict[str, int]:
        """Take `amount` out of the open active lots, which hold as much; what that changed."""
        changes: dict[str, int] = {}
        for lot in self._list_open():
            if lot.account == "active" and (part := min(amount, lot.remaining)):
                amount -= part
                self._put(replace(lot, remaining=lot.remaining - part))
                changes[lot.lot_id.hex] = -part
        return changes

    def _measure_debt(self, incoming: int) -> int:
        """What of `incoming` active points pays the debt."""
        return min(incoming, max(0, -self.balance.active))

    def _list_open(self) -> list[Lot]:
        return self._by_expiry(lot for lot in self.lots.values() if lot.remaining)

    def _by_expiry(self, lots: Iterable[Lot]) -> list[Lot]:
        return sorted(lots, key=lambda lot: (lot.expires_at or _NEVER, lot.seq))

    def _put(self, lot: Lot) -> None:
        self.lots[lot.lot_id] = lot
        self.changed.add(lot.lot_id)

    def _move(
        self,
        transfer_id: UUID,
        kind: TransferKind,
        debit: Account,
        credit: Account,
        amount: int,
        lots: Mapping[str, int],
        source_id: str,
        at: datetime,
        reason: str | None = None,
    ) -> None:
        sums = {name: getattr(self.balance, name) for name in (debit, credit) if name != "issued"}
        sums |= {name: total + (amount if name == credit else -amount) for name, total in sums.items()}
        after = replace(self.balance, last_seq=self.balance.last_seq + 1, **sums)
        # A debt only shrinks but by a reversal: the database's CHECK stands behind every spend.
        self.balance = after = replace(after, floor=max(after.floor, min(after.active, 0)))
        what = (transfer_id, after.last_seq, kind, debit, credit, amount, lots, source_id, reason)
        self.transfers.append(Transfer(*what, after.pending, after.active, at))


def identify_reversal(taking: Taking) -> UUID:
    """Id of the transfer that takes an incentive's points back for one reversal."""
    return identify("reverse", *taking.wallet, taking.reversal_id, taking.incentive_id.hex)


def identify_spend(wallet: WalletKey, spend_id: str) -> UUID:
    """Id of the transfer of a spend that the tenant calls `spend_id`."""
    return identify("spend", *wallet, spend_id)


def identify_refund(spend: UUID) -> UUID:
    """Id of the one transfer that undoes a spend."""
    return identify("refund", spend.hex)


def identify_adjustment(wallet: WalletKey, adjustment_id: str) -> UUID:
    """Id of the transfer, and of the lot, of an adjustment that the tenant calls `adjustment_id`."""
    return identify("adjust", *wallet, adjustment_id)
