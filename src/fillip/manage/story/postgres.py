"""What the ledger and the book know of one event."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID

import msgspec
from msgspec import structs
from sqlalchemy import and_, bindparam, func, select, text

from fillip.core.book.version import CampaignVersion
from fillip.core.erasure import is_erased
from fillip.core.identity import identify_event
from fillip.core.ports import Caller, ReceivedEvent
from fillip.core.schema.coerce import build_coercer
from fillip.core.schema.types import derive_type
from fillip.http.paging import Paging
from fillip.manage.cohort.members_postgres import list_cohorts
from fillip.manage.explain.checks import EventContext
from fillip.manage.explain.postgres import (
    ExplainedEvent,
    build_context,
    read_tenant,
    recall_document,
)
from fillip.manage.merge.postgres import share_user
from fillip.manage.named_list.postgres import read_lists
from fillip.manage.rejection.postgres import list_rejections
from fillip.manage.store.keyset import inline_count
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.ledger import decision, event_met, quest_instance, quest_step_met, reversal
from fillip.manage.store.tables.past import backfill_waiting
from fillip.manage.store.tables.tenant import erasure, tenant
from fillip.manage.story.record import (
    EventDecision,
    EventName,
    LedgerEvent,
    LookingCampaigns,
    QuestTraces,
    Settled,
    StoredRejection,
    StoredVersion,
)
from fillip.manage.user.postgres import select_seen
from fillip.rows.campaign.postgres import name_lists

MOST_REJECTIONS, MOST_DECISIONS, MOST_OF_QUESTS = 20, 200, 1_000
_FOLDER = Path(__file__)
_DECISION = [decision.c[name] for name in EventDecision.__struct_fields__]
_PLACE, _LOOKING, _RETAINED = (
    text(_FOLDER.with_name(f"{name}.sql").read_text(encoding="utf-8"))
    for name in ("find_place", "find_looking", "find_retained")
)


def name_event(caller: Caller, source: str, event_id: str) -> EventName:
    """The caller's event of this name."""
    return EventName(source, event_id, identify_event(caller.tenant_id, source, event_id))


async def find_in_ledger(connection: Connection, caller: Caller, name: EventName) -> LedgerEvent:
    """What is recorded under a name: an event that has met something, a reversal, rejections."""
    mine = (event_met.c.tenant_id == caller.tenant_id) & (event_met.c.event_key == name.key)
    row = (await connection.execute(select(event_met).where(mine, event_met.c.fingerprint.is_not(None)))).one_or_none()
    pages = Paging(MOST_REJECTIONS, None)
    rows, _ = await list_rejections(
        connection, caller, pages, reason=None, event_id=name.event_id, event_source=name.source
    )
    rejections = [msgspec.convert(each._mapping, StoredRejection) for each in rows]
    if row is None:
        return LedgerEvent(None, None, rejections, erased=False)
    plain = {
        each: row._mapping[each] for each in ExplainedEvent.__struct_fields__ if each not in ("source", "event_id")
    }
    event = ExplainedEvent(source=name.source, event_id=name.event_id, **plain)
    return LedgerEvent(event, (row.partition, row.log_offset), rejections, erased=is_erased(row.user_id))


async def is_being_erased(connection: Connection, caller: Caller, received: ReceivedEvent) -> bool:
    """Whether an erasure of its user has done the ledger: what was received before is the erased user's, wherever it still stands."""
    column = erasure.c
    mine = (column.tenant_id == caller.tenant_id) & (column.user_id == received.user_id)
    statement = select(column.erasure_id).where(mine, column.cut_at >= received.received_at)
    return (await connection.execute(statement.limit(1))).first() is not None


async def find_settled(connection: Connection, caller: Caller, place: tuple[int, int]) -> Settled:
    """Whether the event at (partition, offset) is settled; where the log was replaced, which one it stands in can't be told."""
    given = {"tenant_id": caller.tenant_id, "partition": place[0], "log_offset": place[1]}
    rows = (await connection.execute(_PLACE, given)).all()
    settled = any(row.settled for row in rows)
    return Settled(settled, rows[0].book_version if settled and len(rows) == 1 else None)


async def find_book_version(connection: Connection, caller: Caller) -> int:
    """The version of the caller's book of now."""
    mine = select(tenant.c.book_version).where(tenant.c.tenant_id == caller.tenant_id)
    return int((await connection.execute(mine)).scalar_one())


async def list_event_decisions(
    connection: Connection, caller: Caller, key: UUID, campaign_ids: Sequence[str] | None = None
) -> Sequence[EventDecision]:
    """Decisions on an event, grants first: all of these campaigns, or the first 200 of any."""
    mine = (decision.c.tenant_id == caller.tenant_id) & (decision.c.event_key == key)
    statement = (
        select(*_DECISION)
        .where(mine)
        .order_by(decision.c.outcome.desc(), decision.c.decided_at, decision.c.decision_id)
    )
    if campaign_ids is None:
        statement = statement.limit(inline_count(MOST_DECISIONS))
    else:
        statement = statement.where(decision.c.campaign_id.in_(campaign_ids)).limit(inline_count(MOST_OF_QUESTS))
    return [msgspec.convert(row._mapping, EventDecision) for row in await connection.execute(statement)]


async def list_reversals_of(connection: Connection, caller: Caller, key: UUID) -> list[str]:
    """The ids of what took an event back, the first 200."""
    mine = (reversal.c.tenant_id == caller.tenant_id) & (reversal.c.event_key == key) & (reversal.c.state == "applied")
    statement = (
        select(reversal.c.reversal_id).where(mine).order_by(reversal.c.number).limit(inline_count(MOST_DECISIONS))
    )
    return list((await connection.execute(statement)).scalars())


async def list_traces(connection: Connection, caller: Caller, key: UUID) -> Mapping[str, QuestTraces]:
    """What an event left in quests, by whose the instances are (CampaignVersion.quest_id)."""
    met, instance = quest_step_met.c, quest_instance.c
    mine = (met.tenant_id == caller.tenant_id) & (met.event_key == key)
    given = select(met.campaign_id, met.step, func.sum(met.amount)).where(mine).group_by(met.campaign_id, met.step)
    traces: dict[str, QuestTraces] = {}
    for quest_id, step, amount in await connection.execute(given.limit(inline_count(MOST_OF_QUESTS))):
        known = traces.get(quest_id, QuestTraces())
        traces[quest_id] = structs.replace(known, given=(*known.given, (step, int(amount))))
    mine = (instance.tenant_id == caller.tenant_id) & (instance.start_event_key == key)
    begun = select(instance.campaign_id, func.count()).where(mine).group_by(instance.campaign_id)
    for quest_id, count in await connection.execute(begun.limit(inline_count(MOST_OF_QUESTS))):
        traces[quest_id] = structs.replace(traces.get(quest_id, QuestTraces()), begun=count)
    return traces


async def list_waiting(
    connection: Connection, caller: Caller, key: UUID, campaign_ids: Sequence[str]
) -> frozenset[str]:
    """Those of these campaigns whose backfill an event waits for."""
    column = backfill_waiting.c
    mine = and_(column.tenant_id == caller.tenant_id, column.event_key == key, column.campaign_id.in_(campaign_ids))
    return frozenset((await connection.execute(select(column.campaign_id).where(mine))).scalars())


async def list_looking(
    connection: Connection, caller: Caller, action: str, book_version: int, *, after: str, most: int
) -> LookingCampaigns:
    """Campaigns that look at an action, as they stood at a version of the book."""
    given = {
        "tenant_id": caller.tenant_id,
        "book_version": book_version,
        "action": action,
        "after": after,
        "most": most + 1,
    }
    rows = (await connection.execute(_LOOKING, given)).all()
    newest = [msgspec.convert(row._mapping, StoredVersion) for row in rows[:most]]
    retained: list[StoredVersion] = []
    if wanted := [(each.campaign_id, version) for each in newest for version in each.kept or ()]:
        states = {each.campaign_id: each.state for each in newest}
        asked = {"campaign_ids": [each for each, _ in wanted], "versions": [version for _, version in wanted]}
        found = await connection.execute(_RETAINED, asked | {"tenant_id": caller.tenant_id})
        retained = [StoredVersion(**row._mapping, state=states[row.campaign_id]) for row in found]
    last = newest[-1].campaign_id if len(rows) > most else None
    return LookingCampaigns(newest, retained, rows[0].looking if rows else 0, last)


async def know_all_lists(
    connection: Connection, caller: Caller, versions: Sequence[CampaignVersion], book_version: int
) -> list[CampaignVersion]:
    """The campaigns with the lists that their rules read, as they were at a version of the book."""
    named = {list_id for each in versions for one in (each, *each.retained) for list_id in name_lists(one)}
    lists = await read_lists(connection, caller, named, book_version)

    def know(version: CampaignVersion) -> CampaignVersion:
        mine = {list_id: lists[list_id] for list_id in name_lists(version)}
        return structs.replace(version, lists=mine, retained=tuple(map(know, version.retained)))

    return [know(each) for each in versions] if named else list(versions)


async def load_context(
    connection: Connection,
    caller: Caller,
    event: ExplainedEvent,
    book_version: int,
    campaign_version: CampaignVersion,
    recorded: EventDecision | None,
) -> EventContext:
    """The event before one campaign, under tenant and schema of a version of the book; `recorded` is a decision that has the user's
    attributes. Cohorts are those of now, and of who the user is by now; attributes that are not recorded, too.
    """
    now = await share_user(connection, caller, event.user_id)
    document = await recall_document(connection, caller, book_version, "tenant", caller.tenant_id)
    schema = (await recall_document(connection, caller, book_version, "action", event.action))["schema"]
    if recorded is None:
        seen = select_seen(bindparam("of_tenant", caller.tenant_id), bindparam("of_user", now))
        row = (await connection.execute(select(seen.c.attributes, seen.c.revision))).one_or_none()
        attributes, revision = (row.attributes, row.revision) if row else ({}, None)
    else:
        attributes, revision = recorded.user_attributes or {}, recorded.user_revision
    user = build_coercer(derive_type(document["user_schema"]))(attributes)
    cohorts = await list_cohorts(connection, caller, now)
    context = build_context(caller, read_tenant(document), campaign_version, event, schema, user, cohorts, [])
    return structs.replace(context, user_revision=revision)
