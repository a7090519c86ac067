"""The holds of a wallet: listed, and found wherever a merge has brought them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import case, literal, select

from fillip.core.ledger.hold import HoldState, PointsHold, StoredHold
from fillip.core.ledger.points import WalletKey
from fillip.http.paging import Paging
from fillip.manage.store.keyset import read_page
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.wallet import wallet_hold
from fillip.manage.wallet.postgres import find_rows, is_in


async def list_holds(
    connection: Connection, key: WalletKey, pages: Paging, state: HoldState | None, now: datetime
) -> tuple[Sequence[PointsHold], str | None]:
    """A page of a wallet's holds, all or those in a state as of `now`, the newest first, and the next cursor."""
    names = PointsHold.__struct_fields__
    is_over = (wallet_hold.c.state == "held") & (wallet_hold.c.held_until <= now)
    shown = case((is_over, literal("timed_out")), else_=wallet_hold.c.state).label("shown")
    statement = select(*(wallet_hold.c[name] for name in names), shown).where(is_in(wallet_hold, key))
    rows, cursor = await read_page(
        connection, statement, [wallet_hold.c.seq], pages, descending=True, sift={"shown": state}
    )
    return [PointsHold(**{name: row._mapping[name] for name in names}) for row in rows], cursor


async def find_hold(connection: Connection, keys: Iterable[WalletKey], transfer_id: UUID) -> StoredHold | None:
    """The hold of this id in whichever of these wallets it is."""
    rows = find_rows(connection)
    for key in dict.fromkeys(keys):
        if found := await rows.find_hold(key, transfer_id):
            return found
    return None
