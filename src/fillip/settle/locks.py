"""What a batch locks once it is known what it may decide, and what it finds there."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from fillip.core.ledger.points import WalletKey
from fillip.core.ledger.settlement import UserKey
from fillip.core.ledger.wallet import Wallet
from fillip.core.limit import Counter, CounterKey


class RowsToLock(Struct, frozen=True):
    """Counters of users, wallets, users with their inboxes, and counters that users share, each sorted; and limits whose caps are read."""

    own: Sequence[CounterKey] = ()
    wallets: Sequence[WalletKey] = ()
    users: Sequence[UserKey] = ()
    shared: Sequence[CounterKey] = ()
    limits: Sequence[tuple[str, str]] = ()


class LockedRows(Struct, frozen=True):
    """Rows as they were found. A missing counter is at 0, a missing wallet fresh, without lots all; who has no inbox is left out."""

    counters: Mapping[CounterKey, Counter] = {}
    wallets: Mapping[WalletKey, Wallet] = {}
    inbox_heads: Mapping[UserKey, int] = {}
    caps: Mapping[tuple[str, str], int] = {}
