"""What a trial needs of a user, and of the ledger: read as it stands, without a lock; nothing is written."""

from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from fillip.core.event import Event
from fillip.core.limit import Counter, CounterKey
from fillip.core.ports import Caller, StoredUser
from fillip.core.quest.batch import QuestKey
from fillip.core.quest.instance import Instance
from fillip.manage.cohort.members_postgres import list_cohorts
from fillip.manage.eligibility.ledger import LedgerState, Needed
from fillip.manage.eligibility.standing import charge_standing, list_windows
from fillip.manage.explain.postgres import read_charged
from fillip.manage.explain.stock_postgres import count_free, find_held
from fillip.manage.store.driver_postgres import DriverConnection
from fillip.manage.store.postgres import Connection
from fillip.rows.limit.postgres import know_parts
from fillip.rows.quest.postgres import read_instance

_INSTANCE = (
    "campaign_id", "instance_key", "occurrence", "campaign_version", "state", "started_at", "ends_at", "start_event_key",
    "start_event_id", "start_event_source", "start_offset", "steps", "start_attributes", "completed_by", "route",
)  # fmt: skip
"""The columns of an instance, as read_user.sql has them."""
_SQL = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.sql")}


class UserFacts(Struct, frozen=True):
    """A user's row, their cohorts, and their instances by the quest's id (CampaignVersion.quest_id): those that are open, the newest 1,000, and
    where they were asked for those that ended last.
    """

    stored: StoredUser | None
    cohorts: frozenset[str]
    instances: dict[str, list[Instance]]


async def read_user(
    connection: Connection, caller: Caller, user_id: str, *, with_cohorts: bool, with_quests: bool, with_ended: bool
) -> UserFacts:
    """What is known of a user; of one that nobody knows, nothing. `with_ended` asks of 1,000 quests of one instance at a time for what ended."""
    cohorts = await list_cohorts(connection, caller, user_id) if with_cohorts else frozenset()
    driver = DriverConnection(connection)
    (row,) = await driver.fetch(_SQL["read_user"], caller.tenant_id, user_id, with_quests, with_ended)
    known = row["revision"] is not None
    stored = StoredUser(row["revision"], row["attributes"], row["time_zone"]) if known else None
    instances: dict[str, list[Instance]] = {}
    for found in row["instances"]:
        instance = dict(zip(_INSTANCE, found, strict=True))
        instances.setdefault(instance["campaign_id"], []).append(read_instance(instance))
    return UserFacts(stored, cohorts, instances)


async def read_ledger(connection: Connection, caller: Caller, user_id: str, needed: Needed) -> LedgerState:
    """What the ledger has of what is needed."""
    counters = await read_charged(connection, needed.charges) if needed.charges else {}
    codes = await count_free(connection, caller, needed.codes)
    badges = await find_held(connection, caller, needed.badges)
    instances = await _find_instances(DriverConnection(connection), needed.quests, needed.first)
    return LedgerState(counters, codes, badges, instances)


async def read_used(connection: Connection, caller: Caller, event: Event) -> dict[CounterKey, Counter]:
    """Of the counters without a key that limits have for the event's user those that were used, in the windows of its time."""
    limits = event.book.standing_limits
    if not limits:
        return {}
    given = list(limits), event.user_id, list_windows(event)
    used = {
        CounterKey(caller.tenant_id, row["limit_id"], row["user_id"], "", row["window_start"]): Counter(
            row["used"], row["version"]
        )
        for row in await DriverConnection(connection).fetch(_SQL["read_used"], caller.tenant_id, *given)
    }
    charges = charge_standing(event, (limits[limit_id] for limit_id in {key.limit_id for key in used}))
    counters = {charge.counter: used[charge.counter] for charge in charges if charge.counter in used}
    if frames := {frame for charge in charges if charge.counter in counters for frame in charge.frames}:
        await know_parts(DriverConnection(connection), counters, frames)
    return counters


async def _find_instances(
    driver: DriverConnection, quests: Collection[QuestKey], first: datetime | None
) -> dict[QuestKey, Sequence[Instance]]:
    found: dict[QuestKey, list[Instance]] = {quest: [] for quest in quests}
    for tenant_id, user_id in {(tenant_id, user_id) for tenant_id, _, user_id in quests}:
        asked = [quest_id for _, quest_id, _ in quests]
        for row in await driver.fetch(_SQL["find_instances"], tenant_id, user_id, asked, first):
            found[tenant_id, row["campaign_id"], user_id].append(read_instance(row))
    return dict(found)
