"""Incentives as stored, their coupons and inboxes: reading with the state that the clock gives, and claiming."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import ColumnElement, Row, bindparam, case, func, select, update

from fillip.core.campaign.reward import MAX_REWARDS
from fillip.core.campaign.reward_kind import KINDS
from fillip.core.ledger.claim import ClaimableIncentive
from fillip.core.ledger.decision import identify_incentive
from fillip.core.ports import Caller
from fillip.http.errors import Conflict, NotFound
from fillip.http.paging import Paging
from fillip.manage.store.keyset import RowPage, read_page, split_filters
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.book import coupon
from fillip.manage.store.tables.ledger import inbox, incentive

IncentiveRow: TypeAlias = Row[Any]
_first = inbox.alias("first")
_acked_at = (
    select(_first.c.acked_at)
    .where(
        _first.c.tenant_id == incentive.c.tenant_id,
        _first.c.user_id == incentive.c.user_id,
        _first.c.seq == incentive.c.inbox_seq,
    )
    .correlate(incentive)
    .scalar_subquery()
)
"""Looked up for each incentive shown. As EXISTS it might be hashed: all inboxes of all tenants for one page."""
_IN_WALLETS = [kind for kind, traits in KINDS.items() if traits.wallet]
"""The kinds that expire in their wallets."""
STATE = case(
    (incentive.c.state != "granted", incentive.c.state),
    (incentive.c.kind.not_in(_IN_WALLETS) & (incentive.c.expires_at <= func.now()), "expired"),
    (_acked_at.is_not(None), "delivered"),
    else_="granted",
).label("state")
"""The state as of now: expired by the clock, delivered once the user's client has acked it."""
_MOVED = ("claimed", "reversed", "expired")
"""Stored as they are shown, with an index; one that has just expired is stored so a moment later."""
_SHOWN = (*(column for column in incentive.c if column.name != "state"), STATE)


async def list_incentives(
    connection: Connection,
    caller: Caller,
    pages: Paging,
    *,
    user_ids: list[str] | None,
    campaign_id: str | None,
    state: str | None,
    kind: str | None,
) -> RowPage:
    """A page of incentives, of `user_ids` alone where they are given, in their states as of now, the newest first, and the next cursor."""
    asked, sift = split_filters(incentive, {"user_id": user_ids, "campaign_id": campaign_id})
    statement = select(*_SHOWN).where(incentive.c.tenant_id == caller.tenant_id, *asked)
    if state in _MOVED and not asked:
        statement = statement.where(incentive.c.state == bindparam("moved", state, literal_execute=True))
    else:
        sift |= {"state": state}
    sift |= {"kind": kind}
    order = [incentive.c.granted_at, incentive.c.incentive_id]
    return await read_page(connection, statement, order, pages, descending=True, sift=sift)


async def find_incentive(connection: Connection, caller: Caller, incentive_id: UUID) -> IncentiveRow:
    """One incentive in its state as of now; raises NotFound."""
    statement = select(*_SHOWN).where(*_is_same(caller, incentive_id))
    return _want((await connection.execute(statement)).one_or_none(), incentive_id)


async def list_made(connection: Connection, caller: Caller, decision_id: UUID) -> Sequence[IncentiveRow]:
    """What a decision granted, in the order of the rewards, in the states as of now."""
    possible = [identify_incentive(decision_id, index) for index in range(MAX_REWARDS)]
    mine = (incentive.c.tenant_id == caller.tenant_id) & incentive.c.incentive_id.in_(possible)
    return (await connection.execute(select(*_SHOWN).where(mine).order_by(incentive.c.reward_index))).all()


async def list_inbox(connection: Connection, caller: Caller, user_id: str, pages: Paging) -> RowPage:
    """A page of a user's inbox in its order, and the next cursor: incentives with `seq`, `acked_at`, and the kind `told`."""
    same = (incentive.c.tenant_id == inbox.c.tenant_id) & (incentive.c.incentive_id == inbox.c.incentive_id)
    statement = (
        select(inbox.c.seq, inbox.c.kind.label("told"), inbox.c.acked_at, *_SHOWN)
        .join(incentive, same)
        .where(inbox.c.tenant_id == caller.tenant_id, inbox.c.user_id == user_id)
    )
    return await read_page(connection, statement, [inbox.c.seq], pages)


async def find_coupons(connection: Connection, caller: Caller, codes: Collection[str]) -> dict[str, UUID | None]:
    """The incentives that codes belong to, by the code as given, whatever the case of its letters unless its pool is case-sensitive.

    None: nobody was given it; a code that is not there is missing.
    """
    folded = sorted({code.lower() for code in codes})
    asked = select(coupon.c.code, coupon.c.folded, coupon.c.case_sensitive, coupon.c.incentive_id)
    same = asked.where(coupon.c.tenant_id == caller.tenant_id, coupon.c.folded.in_(folded))
    exact = same.where(coupon.c.case_sensitive, coupon.c.code.in_(sorted(codes)))
    rows = (await connection.execute(same.where(~coupon.c.case_sensitive).union_all(exact))).all()  # an index each
    found = {row.code if row.case_sensitive else row.folded: row.incentive_id for row in rows}
    spelt = {code: code if code in found else code.lower() for code in codes}
    return {code: found[stored] for code, stored in spelt.items() if stored in found}


def want_given(found: Mapping[str, UUID | None], code: str) -> UUID:
    """The incentive of a code among those `found`; raises NotFound, or Conflict where nobody was given it."""
    if code not in found:
        raise NotFound(f"there is no coupon {code}")
    incentive_id = found[code]
    if incentive_id is None:
        raise Conflict(f"the coupon {code} was not given to anyone")
    return incentive_id


async def find_coupon(connection: Connection, caller: Caller, code: str) -> UUID:
    """The incentive that a code belongs to; raises as `want_given`."""
    return want_given(await find_coupons(connection, caller, [code]), code)


async def read_stored(
    connection: Connection, caller: Caller, incentive_id: UUID, *, lock: bool = False
) -> tuple[IncentiveRow, ClaimableIncentive]:
    """One incentive as stored, and as far as claiming goes; `lock` holds it until the commit. Raises NotFound."""
    statement = select(incentive).where(*_is_same(caller, incentive_id))
    found = await connection.execute(statement.with_for_update() if lock else statement)
    row = _want(found.one_or_none(), incentive_id)
    return row, _read_claimable(row)


async def lock_stored(
    connection: Connection, caller: Caller, incentive_ids: Collection[UUID]
) -> dict[UUID, tuple[IncentiveRow, ClaimableIncentive]]:
    """As `read_stored`, of several that are there; locked in the order of their ids, as everybody locks several."""
    mine = (incentive.c.tenant_id == caller.tenant_id) & incentive.c.incentive_id.in_(sorted(incentive_ids))
    found = await connection.execute(select(incentive).where(mine).order_by(incentive.c.incentive_id).with_for_update())
    return {row.incentive_id: (row, _read_claimable(row)) for row in found}


async def read_clock(connection: Connection) -> datetime:
    """The time by the database's clock, not that of the transaction's begin."""
    now: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    return now


async def store_claim(
    connection: Connection, caller: Caller, row: IncentiveRow, before: ClaimableIncentive, after: ClaimableIncentive
) -> None:
    """Store what a claim made of a locked incentive, which was `before`, and with it of its coupon."""
    if after != before:
        names = ("state", "reservation_id", "reserved_until", "claimed_at")
        same = (*_is_same(caller, row.incentive_id), incentive.c.state == before.state)
        await connection.execute(update(incentive).where(*same).values({name: getattr(after, name) for name in names}))
    if after.claimed_at != before.claimed_at and row.coupon_code is not None:
        mine = (coupon.c.tenant_id == caller.tenant_id) & (coupon.c.code == row.coupon_code)
        await connection.execute(update(coupon).where(mine).values(redeemed_at=after.claimed_at))


def _is_same(caller: Caller, incentive_id: UUID) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return incentive.c.tenant_id == caller.tenant_id, incentive.c.incentive_id == incentive_id


def _read_claimable(row: IncentiveRow) -> ClaimableIncentive:
    return ClaimableIncentive(**{name: row._mapping[name] for name in ClaimableIncentive.__struct_fields__})


def _want(row: IncentiveRow | None, incentive_id: UUID) -> IncentiveRow:
    if row is None:
        raise NotFound(f"there is no incentive {incentive_id}")
    return row
