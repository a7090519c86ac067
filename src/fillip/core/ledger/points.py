"""What a wallet is made of: balance, lots, transfers, and what draws are owed. How they move: fillip.core.ledger.wallet."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from fillip.core.identity import identify

PAGE_LOTS = 200
"""As many lots one transaction reads or writes of a wallet at most."""
FEW_LOTS = 100
"""Up to so many lots that fall due together have a transfer each; more share one."""

Account = Literal["issued", "imported", "pending", "active", "held", "spent", "expired", "reversed"]
OUTSIDE: frozenset[Account] = frozenset({"issued", "imported"})
"""The tenant's own accounts, against which wallets stand: their balances are the sums of their postings."""
TransferKind = Literal[
    "grant",
    "activate",
    "spend",
    "refund",
    "expire",
    "reverse",
    "adjust",
    "hold",
    "capture",
    "release",
    "give",
    "receive",
    "import",
    "merge",
]
WalletKey = tuple[str, str, str]
"""(tenant, user, currency); sorted = lock order."""
Expiries = Sequence[datetime | None] | None
"""When each of some lots expires; None where none of them does."""
MANY = ""
"""The source of a transfer that many lots share."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEVER = datetime.max.replace(tzinfo=UTC)
"""Where an instant is to be compared, instead of none."""


class Balance(Struct, frozen=True):
    """The sums of a wallet's transfers by account, and how far it was brought.

    `last_seq` numbers the transfers; `floor` is the lowest that active may be; `owed` is what draws want of lots that
    expire after `expired_to`; `due_at` is no later than the next moment when something is to be moved, None: never.
    """

    pending: int = 0
    active: int = 0
    spent: int = 0
    expired: int = 0
    reversed: int = 0
    floor: int = 0
    last_seq: int = 0
    owed: int = 0
    activated_to: datetime = _EPOCH
    expired_to: datetime = _EPOCH
    due_at: datetime | None = None
    held: int = 0


class Lot(Struct, frozen=True):
    """Points that came together; `lot_id` is that of the incentive, adjustment or import, or of a share of a gift, `seq` of the transfer: its age."""

    lot_id: UUID
    amount: int
    remaining: int
    seq: int
    reversed: int = 0
    available_at: datetime | None = None
    expires_at: datetime | None = None

    @property
    def used(self) -> int:
        """What of it was spent, is held, was lent to a reversal, or covered a debt."""
        return self.amount - self.remaining - self.reversed

    @property
    def end(self) -> datetime:
        """When it expires."""
        return self.expires_at or NEVER


class Draw(Struct, frozen=True):
    """What a transfer has moved and lots have yet to give: `owed`, by those that expire after `since`, the earliest first.

    `part` is the number of the last portion they gave; what the transfer names itself is portion 0.
    """

    transfer_id: UUID
    seq: int
    owed: int
    since: datetime
    part: int = 0


class Part(Struct, frozen=True):
    """A portion of what lots gave for a transfer at `made_at`, `part` = 1, 2, 3 …; `lots` and `expiries` as in Transfer."""

    transfer_id: UUID
    part: int
    lots: Mapping[str, int]
    expiries: Expiries
    made_at: datetime


class Portion(Struct, frozen=True):
    """What a refund gives back at once of a spend, or a release of a hold, `amount`: first of what no lot has given yet (`owed`, of which `late` is
    from lots that expired since), then what lots gave (`shares`, below 0, by id in hex, in the order in which lots are
    spent). `spare`: see Wallet.give_back.
    """

    amount: int
    shares: Mapping[str, int]
    owed: int = 0
    late: int = 0
    spare: Sequence[UUID] = ()


class Transfer(Struct, frozen=True):
    """`amount` from `debit` to `credit`; `lots` are the changes of what remains of each lot, by its id in hex; `expiries`
    says when these lots expire, in the order of their ids.
    """

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
    expiries: Expiries = None


class ImportedRow(Struct, frozen=True, array_like=True):
    """A line of a balance import: a lot that a user held before. `row_id` is its own id in the file, where it has one."""

    line: int
    user_id: str
    currency: str
    amount: int
    available_at: datetime | None
    expires_at: datetime | None
    row_id: str | None


class PointsToReverse(Struct, frozen=True):
    """A wish to take `amount` points of one incentive back. `reversal` is the key of the reversal's event."""

    wallet: WalletKey
    reversal: UUID
    reversal_id: str
    incentive_id: UUID
    amount: int


class PointsReversal(Struct, frozen=True):
    """What came of a PointsToReverse: `taken` and `short` are what it asked for. `short` has expired, was taken back before, or the
    currency's floor kept it back.
    """

    taken: int
    short: int = 0


def identify_grant(wallet: WalletKey, incentive_id: UUID) -> UUID:
    """Id of the transfer that grants an incentive's points."""
    return identify("grant", *wallet, incentive_id.hex)


def identify_reversal(taking: PointsToReverse) -> UUID:
    """Id of the transfer that takes an incentive's points back for one reversal."""
    return identify("reverse", *taking.wallet, taking.reversal.hex, taking.incentive_id.hex)


def identify_spend(wallet: WalletKey, spend_id: str) -> UUID:
    """Id of the transfer of a spend, or of a hold that may become one, that the tenant calls `spend_id`."""
    return identify("spend", *wallet, spend_id)


def identify_capture(hold: UUID) -> UUID:
    """Id of the transfer that spends what was held by this one."""
    return identify("capture", hold.hex)


def identify_refund(spend: UUID, returned: int) -> UUID:
    """Id of the transfer that gives points of a spend or a hold back, of which `returned` came back before."""
    return identify("refund", spend.hex, str(returned))


def identify_gift(wallet: WalletKey, gift_id: str) -> UUID:
    """Id of the transfer that lets points of a gift go, which the tenant calls `gift_id`."""
    return identify("give", *wallet, gift_id)


def identify_receipt(given: UUID) -> UUID:
    """Id of the transfer that takes in what this one let go, in another wallet."""
    return identify("receive", given.hex)


def identify_adjustment(wallet: WalletKey, adjustment_id: str) -> UUID:
    """Id of the transfer, and of the lot, of an adjustment that the tenant calls `adjustment_id`."""
    return identify("adjust", *wallet, adjustment_id)


def identify_import(tenant_id: str, import_id: str, line: int, row_id: str | None) -> UUID:
    """Id of the transfer, and of the lot, of a row of a balance import: by the row's own id, or its line where it has none."""
    name = ("line", str(line)) if row_id is None else ("id", row_id)
    return identify("import", tenant_id, import_id, *name)
