"""Balance imports as stored, and how one is posted: portion by portion, each a commit of its own that happens once."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

from msgspec import Struct, json, structs
from sqlalchemy import Row, case, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from fillip.core.campaign.reward import POINTS
from fillip.core.ledger.points import ImportedRow
from fillip.core.ledger.wallet import Wallet
from fillip.core.ports import Caller
from fillip.http.errors import Conflict
from fillip.manage.balance_import.lines import ImportTerms
from fillip.manage.merge.postgres import share_users
from fillip.manage.object.postgres import Objects
from fillip.manage.store.postgres import Connection, transaction
from fillip.manage.store.tables.book import points_currency
from fillip.manage.store.tables.tenant import tenant
from fillip.manage.store.tables.wallet import balance_import
from fillip.manage.wallet.postgres import find_rows, store_wallets

ImportRow: TypeAlias = Row[Any]
Posted: TypeAlias = dict[str, list[int]]
"""Rows and points by currency."""
balance_imports = Objects(balance_import, "import_id", "there is no balance import {}")
_DUE = text(Path(__file__).with_name("find_due.sql").read_text(encoding="utf-8"))
_PORTION = text(Path(__file__).with_name("take_portion.sql").read_text(encoding="utf-8"))


class DueImport(Struct, frozen=True):
    """An import with rows that are still to be posted."""

    tenant_id: str
    import_id: str

    @property
    def caller(self) -> Caller:
        """Fillip itself, within the tenant."""
        return Caller(None, self.tenant_id, frozenset())


async def read_terms(connection: Connection, caller: Caller, at: datetime) -> ImportTerms:
    """What the lines of an import of the caller's are held against."""
    named = select(points_currency.c.currency).where(points_currency.c.tenant_id == caller.tenant_id)
    currencies = frozenset((await connection.execute(named)).scalars()) | {POINTS}
    row = (await connection.execute(select(tenant).where(tenant.c.tenant_id == caller.tenant_id))).one()
    return ImportTerms(currencies, row.time_zone, row.clock, at)


def require_same(row: ImportRow, content_hash: bytes) -> None:
    """Raise Conflict where an import is of another file."""
    if bytes(row.content_hash) != content_hash:
        raise Conflict(f"balance import {row.import_id} was made of another file: give each file an id of its own")


async def count_open(connection: Connection, caller: Caller) -> int:
    """How many of the caller's are still to be posted."""
    mine = (balance_import.c.tenant_id == caller.tenant_id) & balance_import.c.next_at.is_not(None)
    return (await connection.execute(select(func.count()).select_from(balance_import).where(mine))).scalar_one()


async def find_due(finder: AsyncEngine) -> DueImport | None:
    """The import that is next, of all tenants. Raises Retry."""
    async with transaction(finder) as connection:
        row = (await connection.execute(_DUE)).one_or_none()
    return None if row is None else DueImport(row.tenant_id, row.import_id)


async def post_portion(engine: AsyncEngine, due: DueImport) -> bool:
    """Post the next portion of an import, whole and once; whether there was one that no other process is at. Raises Retry."""
    async with transaction(engine, due.caller) as connection:
        asked = {"tenant_id": due.tenant_id, "import_id": due.import_id}
        taken = (await connection.execute(_PORTION, asked)).one_or_none()
        if taken is None:
            return False
        wallets = await _bring_in(connection, due, json.decode(taken.rows, type=list[ImportedRow]))
        posted, rows = _add_posted(taken.posted, wallets), sum(len(_list_imported(each)) for each in wallets)
        column = balance_import.c
        is_over = column.posted_rows + rows == column.rows
        values = {
            "posted": posted,
            "posted_rows": column.posted_rows + rows,
            "posted_portions": column.posted_portions + 1,
            "next_at": case((is_over, None), else_=func.clock_timestamp()),
            "ended_at": case((is_over, func.clock_timestamp()), else_=None),
            "error": None,
        }
        await connection.execute(update(balance_import).where(*_match(due)).values(values))
    return True


async def put_off(engine: AsyncEngine, due: DueImport, pause: timedelta, error: str) -> None:
    """Say why an import can't go on now, and let others go first. Raises Retry."""
    async with transaction(engine, due.caller) as connection:
        waiting = update(balance_import).where(*_match(due), balance_import.c.next_at.is_not(None))
        await connection.execute(waiting.values(next_at=func.now() + pause, error=error))


async def _bring_in(connection: Connection, due: DueImport, rows: Sequence[ImportedRow]) -> list[Wallet]:
    """Post rows to the wallets of who their users are by now, which are locked in the order of all wallets; these."""
    now = await share_users(connection, due.caller, sorted({row.user_id for row in rows}))
    rows = [structs.replace(row, user_id=now[row.user_id]) for row in rows]
    keys = sorted({(due.tenant_id, row.user_id, row.currency) for row in rows})
    wallets, at = await find_rows(connection).lock(keys), datetime.now(UTC)
    for row in rows:
        wallets[due.tenant_id, row.user_id, row.currency].bring_in(due.import_id, row, at)
    await store_wallets(connection, *wallets.values())
    return list(wallets.values())


def _list_imported(wallet: Wallet) -> list[int]:
    """The amounts that came into a wallet by an import, as its transfers say."""
    return [transfer.amount for transfer in wallet.transfers if transfer.kind == "import"]


def _add_posted(before: Posted, wallets: Sequence[Wallet]) -> Posted:
    """What was posted before, and what these wallets' transfers have posted."""
    posted = {currency: [*sums] for currency, sums in before.items()}
    for wallet in wallets:
        sums, amounts = posted.setdefault(wallet.key[2], [0, 0]), _list_imported(wallet)
        sums[0], sums[1] = sums[0] + len(amounts), sums[1] + sum(amounts)
    return posted


def _match(due: DueImport) -> list[Any]:
    return [balance_import.c.tenant_id == due.tenant_id, balance_import.c.import_id == due.import_id]
