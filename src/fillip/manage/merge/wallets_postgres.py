"""The wallets of a user who is merged, a portion of their lots at a time; what is no lot's goes with the first."""

from pathlib import Path

from msgspec import Struct
from sqlalchemy import select

from fillip.core.errors import Retry
from fillip.core.ledger.merge import Merging, find_common
from fillip.core.ledger.points import WalletKey
from fillip.core.ledger.wallet import Wallet
from fillip.core.ports import Caller
from fillip.http.errors import Conflict
from fillip.manage.store.driver_postgres import DriverConnection
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.wallet import wallet, wallet_hold
from fillip.manage.wallet.postgres import find_rows, is_in, make_wallet, open_page, store_wallets
from fillip.rows.wallet.postgres import read_lot

MOST_LOTS, MOST_HOLDS = 100, 200
"""That one transaction moves: the tenant's batches wait for it. Open holds that a user may have who is merged."""
_PAGE = Path(__file__).with_name("read_page.sql").read_text(encoding="utf-8")
_MOVE_HOLDS = Path(__file__).with_name("move_holds.sql").read_text(encoding="utf-8")
_LATER = "; nothing has changed: try again in a few seconds"


class Brought(Struct, frozen=True):
    """What came over, pending and active, less what was owed, by currency; and whether nothing is left."""

    points: dict[str, int]
    is_whole: bool


async def move_wallets(
    connection: Connection, caller: Caller, users: tuple[str, str], merging: Merging, most_lots: int = MOST_LOTS
) -> Brought:
    """Move so many lots of the first user's wallets into the second's, and what is no lot's. The tenant's merges and limits are held.

    The second's wallets are locked first: whoever has one of theirs waits for no other. Raises Retry, and Conflict, where the wallets can't be
    moved now.
    """
    gone, into = users
    mine = (wallet.c.tenant_id == caller.tenant_id) & (wallet.c.user_id == gone)
    found = await connection.execute(select(wallet.c.currency).where(mine).order_by(wallet.c.currency))
    points, left = dict[str, int](), most_lots
    for currency in found.scalars().all():
        keys = (caller.tenant_id, gone, currency), (caller.tenant_id, into, currency)
        points[currency], lots = await _move_wallet(connection, keys, merging, left)
        left -= lots
    return Brought(points, left > 0)


async def _move_wallet(
    connection: Connection, keys: tuple[WalletKey, WalletKey], merging: Merging, most_lots: int
) -> tuple[int, int]:
    """How many points came over, and how many lots."""
    (here, there), rows = keys, find_rows(connection)
    await make_wallet(connection, there)
    other, gone = (await rows.lock([there]))[there], (await rows.lock([here]))[here]
    merging = (merging[0], find_common(merging[1], gone, other))
    await rows.mature({here: gone, there: other}, merging[1])
    if gone.balance.owed:
        raise Retry(f"a large spend of '{here[1]}' is still to be taken out of the lots{_LATER}")
    debt = max(0, -gone.balance.active)
    if debt:
        await open_page(connection, other)
    await _move_sums(connection, gone, other, merging)
    lots = [read_lot(row) for row in await DriverConnection(connection).fetch(_PAGE, *here, most_lots)]
    points = gone.hand_over(other, lots, merging)
    if gone.transfers:
        await store_wallets(connection, other, gone)
    return points - debt, len(lots)


async def _move_sums(connection: Connection, gone: Wallet, other: Wallet, merging: Merging) -> None:
    """What is no lot's, and the holds that are open: they end in the other wallet."""
    mine = is_in(wallet_hold, gone.key) & wallet_hold.c.due_at.is_not(None)
    columns = (wallet_hold.c.transfer_id, wallet_hold.c.amount, wallet_hold.c.state)
    holds = (await connection.execute(select(*columns).where(mine).order_by(wallet_hold.c.seq))).all()
    if any(hold.state != "held" for hold in holds):
        raise Retry(f"a hold of '{gone.key[1]}' is still to come back{_LATER}")
    if len(holds) > MOST_HOLDS:
        raise Conflict(f"'{gone.key[1]}' has more than {MOST_HOLDS} open holds: capture or void some first", at="/from")
    numbers = gone.hand_over_sums(other, [hold.amount for hold in holds], merging)
    if holds:
        ids = [hold.transfer_id for hold in holds]
        await DriverConnection(connection).fetch(_MOVE_HOLDS, gone.key[0], ids, other.key[1], numbers)
