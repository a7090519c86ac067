"""A spend undone, portion by portion: each in a transaction of its own, so that nobody waits for a long one."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from fillip.core.wallet import PAGE_LOTS, Draw, Portion, Transfer, Wallet, identify_refund
from fillip.manage.holdings import is_in, read_lots, store_wallet
from fillip.manage.wallet_tables import wallet_draw, wallet_lot, wallet_part, wallet_transfer

MAX_DRAWS = 100
_lot, _draw, _part, _transfer = wallet_lot.c, wallet_draw.c, wallet_part.c, wallet_transfer.c


class Plan(Struct):
    """What is to be given back of a spend: `left` are (number, amount) of the portions that lots gave, the last one first;
    `rest` is the amount, with what no lot has given.
    """

    left: list[tuple[int, int]]
    rest: int

    @property
    def owed(self) -> int:
        """What no lot has given."""
        return self.rest - sum(amount for _, amount in self.left)


async def refund_portion(
    connection: AsyncConnection, held: Wallet, spent: Transfer, plan: Plan | None, at: datetime
) -> Plan:
    """Give one portion of a spend back and write it; what is left then, of a rest of 0: nothing.

    `held` is locked and brought up to `at`. `plan` is what the portion before left, None at first: what was given back before
    is left out.
    """
    if plan is None or await _is_made(connection, held, spent, plan):
        plan = await _make_plan(connection, held, spent)
    owed, late = await _read_owed(connection, held, spent, plan.owed)
    last, part = len(plan.left) <= 1, plan.left[0][0] if plan.left else 0
    amount = plan.rest if last else owed + plan.left[0][1]
    shares = await _read_shares(connection, held, spent, part) if plan.left else {}
    spare = await _find_spare(connection, held, shares, amount - owed)
    transfer_id = identify_refund(spent.transfer_id, 0 if last else part)
    held.refund(transfer_id, spent, Portion(amount, shares, owed, late, spare), at)
    await store_wallet(connection, held)
    return Plan(plan.left[1:], plan.rest - amount)


async def _make_plan(connection: AsyncConnection, held: Wallet, spent: Transfer) -> Plan:
    given = await _list_given(connection, held, spent)
    returned = await _read_returned(connection, held, spent, [part for part, _ in given])
    plan = Plan(
        [(part, amount) for part, amount in given if part not in returned], spent.amount - sum(returned.values())
    )
    while plan.owed < 0:  # lots gave since, for a debt that the refund had to pay
        plan.left.pop(0)
    return plan


async def _is_made(connection: AsyncConnection, held: Wallet, spent: Transfer, plan: Plan) -> bool:
    """Whether another request has given the next portion back meanwhile."""
    return bool(await _read_returned(connection, held, spent, [part for part, _ in plan.left[:1]]))


async def _list_given(connection: AsyncConnection, held: Wallet, spent: Transfer) -> list[tuple[int, int]]:
    """(number, amount) of each portion that lots gave for a spend, the last one first."""
    mine = (_part.tenant_id == held.key[0], _part.transfer_id == spent.transfer_id)
    rows = await connection.execute(select(_part.part, _part.amount).where(*mine).order_by(_part.part.desc()))
    first = -sum(spent.lots.values())
    return [(part, amount) for part, amount in rows] + ([(0, first)] if first else [])


async def _read_returned(
    connection: AsyncConnection, held: Wallet, spent: Transfer, parts: Sequence[int]
) -> dict[int, int]:
    """The amounts of the portions that were given back before."""
    ids = {identify_refund(spent.transfer_id, part): part for part in parts if part}
    mine = (_transfer.tenant_id == held.key[0], _transfer.transfer_id.in_(list(ids)))
    rows = await connection.execute(select(_transfer.transfer_id, _transfer.amount).where(*mine)) if ids else ()
    return {ids[transfer_id]: amount for transfer_id, amount in rows}


async def _read_owed(connection: AsyncConnection, held: Wallet, spent: Transfer, at_most: int) -> tuple[int, int]:
    """What no lot has given yet for a spend, and how much of that is owed by lots that expired meanwhile.

    The oldest draws are paid first, so what expired lots owe is owed to the oldest.
    """
    sums = select(func.sum(_draw.owed).filter(_draw.seq < spent.seq), func.sum(_draw.owed)).where(
        is_in(wallet_draw, held.key)
    )
    statement = select(*(_draw[name] for name in Draw.__struct_fields__)).where(
        is_in(wallet_draw, held.key), _draw.seq == spent.seq
    )
    row = (await connection.execute(statement)).one_or_none() if at_most else None
    if row is None:
        return 0, 0
    held.draws[spent.transfer_id] = draw = Draw(*row)
    before, all_ = (await connection.execute(sums)).one()
    over = int(all_) - held.balance.owed - int(before or 0)
    owed = min(draw.owed, at_most)
    return owed, min(max(over, 0), owed)


async def _read_shares(connection: AsyncConnection, held: Wallet, spent: Transfer, part: int) -> Mapping[str, int]:
    """What each lot gave in a portion; those lots are handed to the wallet."""
    mine = (_part.tenant_id == held.key[0], _part.transfer_id == spent.transfer_id, _part.part == part)
    shares: Mapping[str, int] = (
        (await connection.execute(select(_part.lots).where(*mine))).scalar_one() if part else spent.lots
    )
    named = _lot.lot_id.in_([UUID(lot_id) for lot_id in shares])
    held.name_lots(await read_lots(connection, select(wallet_lot).where(_lot.tenant_id == held.key[0], named)))
    return shares


async def _find_spare(
    connection: AsyncConnection, held: Wallet, shares: Mapping[str, int], amount: int
) -> Sequence[UUID]:
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
    used = select(wallet_lot).where(is_in(wallet_lot, held.key), _lot.amount > _lot.remaining + _lot.reversed)
    is_over = func.coalesce(_lot.expires_at <= held.balance.expired_to, False)
    lots = await read_lots(connection, used.order_by(is_over, _lot.expires_at, _lot.seq).limit(PAGE_LOTS))
    held.name_lots(lots)
    return [lot.lot_id for lot in lots]
