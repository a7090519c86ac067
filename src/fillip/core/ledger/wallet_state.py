"""A wallet as it is locked and written: its balance and lots, and the transfers that moved them. What moves them: fillip.core.ledger.wallet."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from msgspec.structs import replace

from fillip.core.ledger.points import (
    OUTSIDE,
    Account,
    Balance,
    Draw,
    Expiries,
    Lot,
    Part,
    Transfer,
    TransferKind,
    WalletKey,
)


class WalletState:
    """One wallet, locked, with the lots that an operation needs; collects what is to be written."""

    def __init__(self, key: WalletKey, balance: Balance | None) -> None:
        """`balance` None: it has no row yet."""
        self.key = key
        self.fresh = balance is None
        self.balance = balance or Balance()
        self.lots: dict[UUID, Lot] = {}
        self.changed: set[UUID] = set()
        self.transfers: list[Transfer] = []
        self.draws: dict[UUID, Draw] = {}
        self.parts: list[Part] = []
        self._page: list[UUID] = []

    def name_lots(self, lots: Iterable[Lot]) -> None:
        """Hand in lots that an operation names; what was moved before stays moved."""
        self.lots = {lot.lot_id: lot for lot in lots} | self.lots

    def turn_to(self, page: Sequence[Lot]) -> None:
        """Hand in the open active lots that come first: in the order they are spent in, none left out in between."""
        self.name_lots(page)
        self._page = [lot.lot_id for lot in page]

    def _list_expiries(self, changes: Mapping[str, int]) -> Expiries:
        expiries = [self.lots[UUID(name)].expires_at for name in sorted(changes)]
        return expiries if any(expiries) else None

    def _measure_debt(self, incoming: int) -> int:
        """What of `incoming` active points pays the debt."""
        return min(incoming, max(0, -self.balance.active))

    def _is_pending(self, lot: Lot) -> bool:
        return lot.available_at is not None and lot.available_at > self.balance.activated_to

    def _is_over(self, lot: Lot) -> bool:
        return lot.end <= self.balance.expired_to

    def _put(self, lot: Lot) -> None:
        self.lots[lot.lot_id] = lot
        self.changed.add(lot.lot_id)
        if lot.remaining and not self._is_over(lot):
            times = (self.balance.due_at, lot.expires_at, lot.available_at if self._is_pending(lot) else None)
            self.balance = replace(self.balance, due_at=min((time for time in times if time), default=None))

    def _draw(self, amount: int) -> tuple[dict[str, int], int]:
        """Take `amount` out of the page; what that changed, and what is left owed. Draws from before come first."""
        changes = {} if self.balance.owed else self._draw_page(amount)
        return changes, amount + sum(changes.values())

    def _draw_page(self, amount: int) -> dict[str, int]:
        changes: dict[str, int] = {}
        for lot in [self.lots[lot_id] for lot_id in self._page]:
            if part := min(amount, lot.remaining):
                amount -= part
                self._put(replace(lot, remaining=lot.remaining - part))
                changes[lot.lot_id.hex] = -part
            if not amount:
                break
        return changes

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
        owed: int = 0,
    ) -> None:
        sums = {name: getattr(self.balance, name) for name in (debit, credit) if name not in OUTSIDE}
        sums |= {name: total + (amount if name == credit else -amount) for name, total in sums.items()}
        after = replace(self.balance, last_seq=self.balance.last_seq + 1, **sums)
        # A debt only shrinks but by a reversal: the database's CHECK stands behind every spend.
        self.balance = after = replace(after, floor=max(after.floor, min(after.active, 0)))
        transfer = Transfer(
            transfer_id=transfer_id,
            seq=after.last_seq,
            kind=kind,
            debit=debit,
            credit=credit,
            amount=amount,
            lots=lots,
            source_id=source_id,
            reason=reason,
            pending_after=after.pending,
            active_after=after.active,
            made_at=at,
            expiries=self._list_expiries(lots),
        )
        self.transfers.append(transfer)
        if owed:
            self.draws[transfer_id] = Draw(transfer_id, after.last_seq, owed, after.expired_to)
            due_at = min(at, after.due_at or at)
            self.balance = replace(after, owed=after.owed + owed, due_at=due_at)
