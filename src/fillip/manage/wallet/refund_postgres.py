"""Refunds of spends as asked for: which one it is, made before or new."""

from fillip.core.ledger.points import Transfer
from fillip.core.ledger.wallet import Wallet
from fillip.http.errors import Conflict
from fillip.manage.store.driver_postgres import DriverConnection
from fillip.manage.store.postgres import Connection
from fillip.manage.wallet.postgres import find_rows
from fillip.manage.wallet.refund import ask_amount
from fillip.rows.wallet.postgres import SQL
from fillip.rows.wallet.refund import Refund


async def find_refund(
    connection: Connection, held: Wallet, spent: Transfer, refund_id: str, amount: int | None
) -> tuple[Refund, int]:
    """The refund of a spend, or of a captured hold, by this id, made before or new, and how much of it came back, released or refunded.

    A new one of `amount` None is of all that is left. Raises Conflict where it is not there, or of another amount.
    """
    [sums] = await DriverConnection(connection).fetch(SQL["sum_refunds"], held.key[0], spent.transfer_id)
    found = await find_rows(connection).find_refund(spent, held, refund_id)
    if found is None:
        of, left = spent.amount - sums["released"], spent.amount - sums["asked"]
        return Refund(refund_id, ask_amount(spent.source_id, of, left, amount, sums["count"])), sums["returned"]
    if amount not in (None, found.amount):
        message = f"refund '{refund_id}' was made before of {found.amount}: give each one a refund_id of its own"
        raise Conflict(message, at="/amount")
    return found, sums["returned"]
