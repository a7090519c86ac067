"""Gifts as stored: the transfer that lets points go, and the one in the other user's wallet that takes them in."""

from collections.abc import Sequence
from uuid import UUID

from fillip.core.ledger.points import Transfer, identify_receipt
from fillip.core.ports import Caller
from fillip.manage.store.postgres import Connection
from fillip.manage.wallet.postgres import find_owners


async def find_others(connection: Connection, caller: Caller, transfers: Sequence[Transfer]) -> dict[UUID, str]:
    """The other user of each of these transfers that is of a gift or a merge, by transfer."""
    other = {each.transfer_id: identify_receipt(each.transfer_id) for each in transfers if each.kind == "give"}
    other |= {each.transfer_id: UUID(each.source_id) for each in transfers if each.kind in ("receive", "merge")}
    owners = await find_owners(connection, caller, list(other.values()))
    return {mine: owners[theirs] for mine, theirs in other.items() if theirs in owners}
