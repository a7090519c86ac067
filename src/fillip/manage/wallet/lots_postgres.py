"""The lots of a wallet, to be shown: what of the balance came from where, and when it expires."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from uuid import UUID

from msgspec import Struct
from sqlalchemy import text

from fillip.core.ledger.points import NEVER, TransferKind
from fillip.core.ledger.wallet import Wallet
from fillip.http.cursor import read_cursor, write_cursor
from fillip.http.paging import Paging
from fillip.manage.store.postgres import Connection

_LIST_LOTS = text(Path(__file__).with_name("list_lots.sql").read_text(encoding="utf-8"))
_EPOCH = datetime.fromtimestamp(0, UTC)


class ShownLot(Struct, frozen=True):
    """Points that came together and are there yet: `remaining` of `amount`, brought by the transfer of `kind` and `source_id`."""

    lot_id: UUID
    state: Literal["pending", "active"]
    amount: int
    remaining: int
    kind: TransferKind | None
    source_id: str | None
    available_at: datetime | None
    expires_at: datetime | None


async def list_lots(
    connection: Connection, shown: Wallet, at: datetime, pages: Paging
) -> tuple[list[ShownLot], str | None]:
    """A page of the lots of a wallet that was brought up to `at`, in the order in which they are spent, and the next cursor.

    What they owe to draws is taken off those that give it, so that all of them add up to the balance, where that is not below zero.
    """
    first = _EPOCH, 0, UUID(int=0)
    since, seq, lot_id = read_cursor(pages.cursor, [datetime, int, UUID]) if pages.cursor is not None else first
    given = {
        **dict(zip(("tenant_id", "user_id", "currency"), shown.key, strict=True)),
        "at": at,
        "since": since,
        "seq": seq,
        "lot_id": lot_id,
        "never_seq": seq if since == NEVER else 0,
        "owed": shown.balance.owed,
        "count": pages.limit + 1,
    }
    rows = (await connection.execute(_LIST_LOTS, given)).all()
    lots, left = [], max(0, shown.balance.owed - rows[0].before) if rows else 0
    for row in rows[: pages.limit]:
        is_pending = row.available_at is not None and row.available_at > at
        gives = 0 if is_pending else min(left, row.remaining)
        left -= gives
        if gives < row.remaining:
            parts = {
                name: getattr(row, name)
                for name in ("lot_id", "amount", "kind", "source_id", "available_at", "expires_at")
            }
            lots.append(ShownLot(state="pending" if is_pending else "active", remaining=row.remaining - gives, **parts))
    if len(rows) <= pages.limit:
        return lots, None
    last = rows[pages.limit - 1]
    return lots, write_cursor([last.expires_at or NEVER, last.seq, last.lot_id])
