"""Spends given back, whole or in pieces, portion by portion: each in a transaction of its own, so that nobody waits for a
long one.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from msgspec.structs import asdict
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from fillip.core.ledger.points import PAGE_LOTS, Draw, Lot, Portion, Transfer, identify_refund
from fillip.core.ledger.wallet import Wallet
from fillip.http.errors import Conflict
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.wallet import wallet_draw, wallet_lot, wallet_part, wallet_refund, wallet_transfer
from fillip.manage.wallet.postgres import find_rows, is_in, store_wallet
from fillip.manage.wallet.refund import LotPortion, Refund, SpentPortions, ask_amount
from fillip.rows.wallet.postgres import MAX_DRAWS

_lot, _draw, _part, _transfer, _refund = (
    table.c for table in (wallet_lot, wallet_draw, wallet_part, wallet_transfer, wallet_refund)
)


async def find_refund(
    connection: Connection, held: Wallet, spent: Transfer, refund_id: str, amount: int | None
) -> tuple[Refund, int]:
    """The refund of a spend by this id, made before or new, and how much of the spend all have given back.

    A new one of `amount` None is of all that is left. Raises Conflict where it is not there, or of another amount.
    """
    mine = (_refund.tenant_id == held.key[0], _refund.transfer_id == spent.transfer_id)
    sums = select(func.count(), func.sum(_refund.amount), func.sum(_refund.returned)).where(*mine)
    count, asked, returned = (int(value or 0) for value in (await connection.execute(sums)).one())
    columns = (_refund[name] for name in Refund.__struct_fields__)
    row = (await connection.execute(select(*columns).where(*mine, _refund.refund_id == refund_id))).one_or_none()
    if row is None:
        return Refund(refund_id, ask_amount(spent, spent.amount - asked, amount, count)), returned
    if amount not in (None, row.amount):
        message = f"refund '{refund_id}' was made before of {row.amount}: give each one a refund_id of its own"
        raise Conflict(message, at="/amount")
    return Refund(*row), returned


async def refund_portion(
    connection: Connection, held: Wallet, spent: Transfer, refund: Refund, portions: SpentPortions, at: datetime
) -> UUID:
    """Give one portion of a refund back and write it, as the transfer of this id; `refund` and `portions` move on by it.

    `held` is locked and brought up to `at`.
    """
    of_part = portions.lots[-1].end - portions.lots[-1].begin if portions.lots else 0
    amount = min(refund.amount - refund.returned, portions.bare + of_part)
    owed, late = await _read_owed(connection, held, spent, portions.bare)
    shares = await _read_shares(connection, held, spent, portions, max(0, amount - portions.bare))
    spare = await _find_spare(connection, held, shares, max(0, amount - owed))
    transfer_id = identify_refund(spent.transfer_id, spent.amount - portions.top)
    held.refund(transfer_id, spent, refund.refund_id, Portion(amount, shares, owed, late, spare), at)
    await store_wallet(connection, held)
    portions.take(amount)
    refund.returned, refund.last_id = refund.returned + amount, transfer_id
    row = {"tenant_id": held.key[0], "transfer_id": spent.transfer_id} | asdict(refund)
    moved = {"returned": refund.returned, "last_id": transfer_id}
    names = ["tenant_id", "transfer_id", "refund_id"]
    await connection.execute(insert(wallet_refund).values(row).on_conflict_do_update(index_elements=names, set_=moved))
    return transfer_id


async def read_portions(connection: Connection, held: Wallet, spent: Transfer, returned: int) -> SpentPortions:
    """What lots gave for a spend, without what was given back of it."""
    mine = (_part.tenant_id == held.key[0], _part.transfer_id == spent.transfer_id)
    rows = await connection.execute(select(_part.part, _part.amount).where(*mine).order_by(_part.part))
    portions = SpentPortions(spent.amount, [])
    end = 0
    for part, amount in [(0, -sum(spent.lots.values())), *rows]:
        if amount:
            portions.lots.append(LotPortion(part, end, end := end + amount))
    portions.take(returned)
    return portions


async def _read_owed(connection: Connection, held: Wallet, spent: Transfer, at_most: int) -> tuple[int, int]:
    """What no lot has given yet for a spend, and how much of that is owed by lots that expired meanwhile.

    The oldest draws are paid first, so what expired lots owe is owed to the oldest.
    """
    mine = is_in(wallet_draw, held.key)
    sums = select(func.sum(_draw.owed).filter(_draw.seq < spent.seq), func.sum(_draw.owed)).where(mine)
    statement = select(*(_draw[name] for name in Draw.__struct_fields__)).where(mine, _draw.seq == spent.seq)
    row = (await connection.execute(statement)).one_or_none() if at_most else None
    if row is None:
        return 0, 0
    held.draws[spent.transfer_id] = draw = Draw(*row)
    before, all_ = (await connection.execute(sums)).one()
    over = int(all_) - held.balance.owed - int(before or 0)
    owed = min(draw.owed, at_most)
    return owed, min(max(over, 0), owed)


async def _read_shares(
    connection: Connection, held: Wallet, spent: Transfer, portions: SpentPortions, amount: int
) -> Mapping[str, int]:
    """What each lot gave of the uppermost `amount` of the last portion; those lots are handed to the wallet."""
    if not amount:
        return {}
    last = portions.lots[-1]
    mine = (_part.tenant_id == held.key[0], _part.transfer_id == spent.transfer_id, _part.part == last.part)
    shares: Mapping[str, int] = (
        (await connection.execute(select(_part.lots).where(*mine))).scalar_one() if last.part else spent.lots
    )
    named = [(held.key[0], UUID(lot_id)) for lot_id in shares]
    await find_rows(connection).name_lots({held.key: held}, named)
    end = last.end - last.begin
    return held.cut_shares(shares, end - amount, end)


async def _find_spare(connection: Connection, held: Wallet, shares: Mapping[str, int], amount: int) -> Sequence[UUID]:
    """Lots that were used besides those that gave, where a reversal left these no room, what has expired last; the newest
    draws of reversals and debts come with them. Only then it reads the lots of the wallet one by one.
    """
    if held.measure_room(shares) >= amount + min(held.balance.active, 0):
        return ()
    newest = (
        select(*(_draw[name] for name in Draw.__struct_fields__))
        .join(wallet_transfer, (_transfer.tenant_id == _draw.tenant_id) & (_transfer.transfer_id == _draw.transfer_id))
        .where(is_in(wallet_draw, held.key), _transfer.kind != "spend")
    )
    for row in await connection.execute(newest.order_by(_draw.seq.desc()).limit(MAX_DRAWS)):
        held.draws.setdefault(row.transfer_id, Draw(*row))
    columns = (_lot[name] for name in Lot.__struct_fields__)
    used = select(*columns).where(is_in(wallet_lot, held.key), _lot.amount > _lot.remaining + _lot.reversed)
    is_over = func.coalesce(_lot.expires_at <= held.balance.expired_to, False)
    found = await connection.execute(used.order_by(is_over, _lot.expires_at, _lot.seq).limit(PAGE_LOTS))
    lots = [Lot(*row) for row in found]
    held.name_lots(lots)
    return [lot.lot_id for lot in lots]
