"""What a batch decides by, locked in one round trip: each one more is waited for by all that are in the batch, and by the batch after it."""

import re
from functools import lru_cache
from pathlib import Path

from fillip.core.ledger.points import Balance
from fillip.core.ledger.settlement import UserKey
from fillip.core.ledger.wallet import Wallet
from fillip.core.limit import Counter, CounterKey
from fillip.rows.columns import list_columns, to_columns
from fillip.rows.connection import Connection
from fillip.rows.limit.postgres import SQL as LIMIT_SQL
from fillip.rows.wallet.postgres import SQL as WALLET_SQL
from fillip.settle.locks import LockedRows, RowsToLock

_NAMES = ("lock_rows", "lock_inbox_heads", "share_limits")
_ROWS, _HEADS, _CAPS = (Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8") for name in _NAMES)


async def lock_rows(connection: Connection, wanted: RowsToLock) -> LockedRows:
    """Lock them in this order until commit or rollback."""
    columns = (
        *list_columns(CounterKey, wanted.own),
        *to_columns(wanted.wallets, 3),
        *to_columns(wanted.users, 2),
        *list_columns(CounterKey, wanted.shared),
        *to_columns(wanted.limits, 2),
    )
    counters = {key: Counter(0, 0) for key in (*wanted.own, *wanted.shared)}
    wallets = {key: Wallet(key, None) for key in wanted.wallets}
    inbox_heads, caps = dict[UserKey, int](), dict[tuple[str, str], int]()
    statement = _write_statement(LIMIT_SQL["lock_counters"], WALLET_SQL["lock_wallets"])
    for row in await connection.fetch(statement, *columns):
        part, found = row["part"], tuple(row["found"])
        if part == "wallets":
            wallets[found[:3]] = Wallet(found[:3], Balance(*found[3:]))
        elif part == "heads":
            inbox_heads[found[:2]] = found[2]
        elif part == "caps":
            caps[found[:2]] = found[2]
        else:
            counters[CounterKey(*found[:5])] = Counter(*found[5:])
    return LockedRows(counters, wallets, inbox_heads, caps)


@lru_cache(maxsize=2)
def _write_statement(counters: str, wallets: str) -> str:
    """lock_rows.sql with its parts, whose parameters are numbered on."""
    parts = {"own": counters, "wallets": wallets, "heads": _HEADS, "shared": counters, "caps": _CAPS}
    statement, count = _ROWS, 0
    for name, part in parts.items():
        numbers = [int(number) for number in re.findall(r"\$(\d+)", part)]
        numbered = re.sub(r"\$(\d+)", lambda found, before=count: f"${before + int(found[1])}", part)  # type: ignore[misc]
        statement, count = statement.replace(f"{{{name}}}", numbered), count + max(numbers)
    return statement
