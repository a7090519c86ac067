"""The holds of a wallet: listed, and found wherever a merge has brought them."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import select

from fillip.core.ledger.hold import PointsHold, StoredHold
from fillip.core.ledger.points import WalletKey
from fillip.http.paging import Paging
from fillip.manage.store.keyset import read_page
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.wallet import wallet_hold
from fillip.manage.wallet.postgres import find_rows, is_in


async def list_holds(connection: Connection, key: WalletKey, pages: Paging) -> tuple[Sequence[PointsHold], str | None]:
    """A page of a wallet's holds, the newest first, and the next cursor."""
    statement = select(*(wallet_hold.c[name] for name in PointsHold.__struct_fields__)).where(is_in(wallet_hold, key))
    rows, cursor = await read_page(connection, statement, [wallet_hold.c.seq], pages, descending=True)
    return [PointsHold(**row._mapping) for row in rows], cursor


async def find_hold(connection: Connection, keys: Iterable[WalletKey], transfer_id: UUID) -> StoredHold | None:
    """The hold of this id in whichever of these wallets it is."""
    rows = find_rows(connection)
    for key in dict.fromkeys(keys):
        if found := await rows.find_hold(key, transfer_id):
            return found
    return None
