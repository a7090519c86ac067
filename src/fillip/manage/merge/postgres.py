"""Merged users as stored: who each is by now, and the merge itself, in transactions that have the tenant's limits and merges alone.

The first makes the one user the other; where wallets have more lots than it may move, the others bring these over: see run.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from msgspec import Struct
from sqlalchemy import Row, and_, bindparam, exists, func, insert, or_, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import Text

from fillip.core.errors import Retry
from fillip.core.ledger.points import WalletKey
from fillip.core.ports import Caller
from fillip.http.errors import Conflict
from fillip.http.paging import Paging
from fillip.manage.cohort.merged_postgres import hold_lists, merge_lists
from fillip.manage.merge.wallets_postgres import move_wallets
from fillip.manage.store.keyset import RowPage, read_page
from fillip.manage.store.postgres import Connection, find_state
from fillip.manage.store.tables.tenant import end_user, erasure, user_merge
from fillip.manage.user.postgres import UserState, delete_user, upsert_users
from fillip.manage.wallet.postgres import find_owners

MOST_ROWS, MOST_MERGED = 2_000, 100
"""That one merge may have to look at: the tenant's batches wait for it. Users that may be merged into one."""
_SHARE = text("SELECT user_id, merged_into FROM share_merges(:tenant_id, :users)").bindparams(
    bindparam("users", type_=ARRAY(Text))
)
_HOLD = text("SELECT hold_merges(:tenant_id)")
_COUNT = text("SELECT count_merged_rows(:tenant_id, :user_id, :most)")
_MERGE = text("SELECT merge_user(:tenant_id, :user_id, :into)")
_LEVELS = text("SELECT merge_levels(:tenant_id, :user_id, :into)")
_LOCK_NOT_AVAILABLE = "55P03"

MergeRow: TypeAlias = Row[Any]


class MergeRequest(Struct, frozen=True):
    """`user_id` is to be `into`; `merge_id` is the tenant's."""

    merge_id: str
    user_id: str
    into: str
    reason: str | None


class Purse(Struct, frozen=True):
    """The wallet that a user's points of a currency are in by now, and the ids that were merged into its user."""

    key: WalletKey
    others: Sequence[str] = ()

    @property
    def users(self) -> Sequence[str]:
        """All ids of its user."""
        return self.key[1], *self.others


async def share_users(connection: Connection, caller: Caller, users: Sequence[str]) -> dict[str, str]:
    """Who each of these users is by now; nobody is merged until the transaction ends."""
    rows = await connection.execute(_SHARE, {"tenant_id": caller.tenant_id, "users": list(users)})
    return {user_id: user_id for user_id in users} | {row.user_id: row.merged_into for row in rows}


async def share_user(connection: Connection, caller: Caller, user_id: str) -> str:
    """Who a user is by now; nobody is merged until the transaction ends."""
    return (await share_users(connection, caller, [user_id]))[user_id]


async def are_same(connection: Connection, caller: Caller, one: str, other: str) -> bool:
    """Whether two ids are of one user by now."""
    return one == other or len(set((await share_users(connection, caller, [one, other])).values())) == 1


async def list_ids(connection: Connection, caller: Caller, user_id: str) -> list[str]:
    """The user's id, and those that were merged into it."""
    mine = (user_merge.c.tenant_id == caller.tenant_id) & (user_merge.c.merged_into == user_id)
    return [user_id, *(await connection.execute(select(user_merge.c.user_id).where(mine))).scalars()]


async def list_own_ids(connection: Connection, caller: Caller, user_id: str | None) -> list[str] | None:
    """The same of a filter; None where it asks for nobody."""
    return None if user_id is None else await list_ids(connection, caller, user_id)


async def share_purse(connection: Connection, caller: Caller, user_id: str, currency: str) -> Purse:
    """Where a user's points are by now; that stays so until the transaction ends."""
    now, *others = await list_ids(connection, caller, await share_user(connection, caller, user_id))
    return Purse((caller.tenant_id, now, currency), others)


async def find_made(
    connection: Connection, caller: Caller, purse: Purse, name: Callable[[WalletKey], UUID]
) -> tuple[WalletKey, UUID]:
    """In which wallet the transfer of that name was made, and its id: also before its user was merged. The purse's own where it
    was not made.
    """
    tenant_id, _, currency = purse.key
    named = {name((tenant_id, user_id, currency)): (tenant_id, user_id, currency) for user_id in purse.others}
    owners = await find_owners(connection, caller, list(named))
    made = next((each for each in named if each in owners), None)
    return (purse.key, name(purse.key)) if made is None else (named[made], made)


async def list_merges(connection: Connection, caller: Caller, user_id: str, pages: Paging) -> RowPage:
    """A page of the merges that a user had part in, by the id that was merged, and the next cursor."""
    mine = or_(user_merge.c.user_id == user_id, user_merge.c.merged_into == user_id)
    statement = select(user_merge).where(user_merge.c.tenant_id == caller.tenant_id, mine)
    return await read_page(connection, statement, [user_merge.c.user_id], pages)


async def merge_users(
    connection: Connection, caller: Caller, asked: MergeRequest, at: datetime
) -> tuple[MergeRow, bool]:
    """Make one user another; the merge, and whether it was made before. Raises Conflict, and Retry where batches take long."""
    await hold_lists(connection, caller)
    await hold_merges(connection, caller)
    if before := await _find_before(connection, caller, asked):
        return before, True
    now = await share_users(connection, caller, [asked.user_id, asked.into])
    into = now[asked.into]
    if now[asked.user_id] != asked.user_id:
        raise Conflict(f"user '{asked.user_id}' was merged before, into '{now[asked.user_id]}'", at="/from")
    if into == asked.user_id:
        raise Conflict(f"'{asked.into}' is '{into}' by now: a user can't be merged into itself", at="/from")
    await _require_fit(connection, caller, asked.user_id, into)
    names = {"tenant_id": caller.tenant_id, "user_id": asked.user_id}
    moved = (await connection.execute(_MERGE, names | {"into": into})).scalar_one()
    wallets = await move_wallets(connection, caller, (asked.user_id, into), (asked.merge_id, at))
    await connection.execute(_LEVELS, names | {"into": into})
    await _merge_attributes(connection, caller, asked.user_id, into)
    cohorts = await merge_lists(connection, caller, asked.user_id, into)
    row = names | {"merge_id": asked.merge_id, "asked_into": asked.into, "merged_into": into, "reason": asked.reason}
    told = {
        "moved": moved | {"points": wallets.points, "cohorts": cohorts},
        "next_at": None if wallets.is_whole else at,
    }
    made = insert(user_merge).values(row | told).returning(*user_merge.c)
    return (await connection.execute(made)).one(), False


async def hold_merges(connection: Connection, caller: Caller) -> None:
    """Have the tenant's limits and merges alone until the transaction ends. Raises Retry where batches take long."""
    try:
        await connection.execute(_HOLD, {"tenant_id": caller.tenant_id})
    except DBAPIError as error:
        if find_state(error) != _LOCK_NOT_AVAILABLE:
            raise
        raise Retry("a batch of events is being decided; nothing has changed: try again") from error


async def require_whole(connection: Connection, caller: Caller, user_id: str) -> None:
    """Raises Conflict while points of an id that was merged into the user are still to come over."""
    column = user_merge.c
    mine = (column.tenant_id == caller.tenant_id) & (column.merged_into == user_id) & column.next_at.is_not(None)
    if (await connection.execute(select(exists().where(mine)))).scalar_one():
        raise Conflict("points of an id that was merged into the user are still to come over: try again in a minute")


async def _find_before(connection: Connection, caller: Caller, asked: MergeRequest) -> MergeRow | None:
    same = (user_merge.c.tenant_id == caller.tenant_id) & (user_merge.c.merge_id == asked.merge_id)
    row = (await connection.execute(select(user_merge).where(same))).one_or_none()
    if row is not None and (row.user_id, row.asked_into) != (asked.user_id, asked.into):
        message = f"'{asked.merge_id}' merged '{row.user_id}' into '{row.asked_into}': give each merge an id of its own"
        raise Conflict(message, at="/merge_id")
    return row


async def _require_fit(connection: Connection, caller: Caller, user_id: str, into: str) -> None:
    """Raises Conflict where the merge would take long, or either user is being erased."""
    mine = and_(erasure.c.tenant_id == caller.tenant_id, erasure.c.user_id.in_([user_id, into]))
    if (await connection.execute(select(func.count()).select_from(erasure).where(mine))).scalar_one():
        raise Conflict("one of the two users is being erased")
    rows = {"tenant_id": caller.tenant_id, "user_id": user_id, "most": MOST_ROWS}
    if (await connection.execute(_COUNT, rows)).scalar_one() > MOST_ROWS:
        raise Conflict(
            f"'{user_id}' has more than {MOST_ROWS:,} counters and steps of quests: merge the other way round, where the other has fewer",
            at="/from",
        )
    ids = [len(await list_ids(connection, caller, each)) for each in (user_id, into)]
    if sum(ids) - 1 > MOST_MERGED:
        raise Conflict(f"at most {MOST_MERGED} users can be merged into one", at="/from")


async def _merge_attributes(connection: Connection, caller: Caller, user_id: str, into: str) -> None:
    """What the one lacks it has of the other, whose own go."""
    mine = and_(end_user.c.tenant_id == caller.tenant_id, end_user.c.user_id.in_([user_id, into]))
    rows = await connection.execute(select(end_user).where(mine).order_by(end_user.c.user_id).with_for_update())
    known = {row.user_id: UserState(row.attributes, row.time_zone) for row in rows}
    if user_id not in known:
        return
    gone, own = known[user_id], known.get(into, UserState({}))
    merged = UserState({**gone.attributes, **own.attributes}, own.time_zone or gone.time_zone)
    await delete_user(connection, caller, user_id)
    if merged != known.get(into):
        await upsert_users(connection, caller, {into: merged})
