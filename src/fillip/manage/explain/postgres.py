"""What an explanation needs, read from the ledger and the book: as recorded with a decision, or as it stands now."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct, structs
from sqlalchemy import BindParameter, Row, Select, Text, and_, bindparam, cast, or_, select

from fillip.core.book.book import Action, Book
from fillip.core.book.version import CampaignVersion, join_versions
from fillip.core.by_hand import GRANT, GRANT_SCHEMA
from fillip.core.campaign.campaign import REFUSING, UNLAUNCHED, Campaign, CampaignState
from fillip.core.event import Event, Place
from fillip.core.identity import name_shadow
from fillip.core.ledger.conflict import collide
from fillip.core.limit import Counter, CounterKey, Limit, LimitCharge
from fillip.core.ports import Caller
from fillip.core.quest.batch import find_due
from fillip.core.quest.instance import Instance, QuestEvent
from fillip.core.repair import REPAIR, REPAIR_SCHEMA
from fillip.core.schema.coerce import build_coercer
from fillip.core.schema.reader import build_event_coercer
from fillip.core.schema.types import derive_type
from fillip.core.tenant import Tenant
from fillip.http.errors import NotFound
from fillip.manage.campaign.postgres import list_kept, select_campaigns
from fillip.manage.cohort.members_postgres import list_cohorts
from fillip.manage.event.postgres import find_recorded
from fillip.manage.explain.answer import GivenAnswer
from fillip.manage.explain.checks import EventContext
from fillip.manage.limit.postgres import read_limit
from fillip.manage.named_list.postgres import find_key_lists, read_lists
from fillip.manage.store.driver_postgres import DriverConnection
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables import book as book_tables
from fillip.manage.store.tables import cohort as cohort_tables
from fillip.manage.store.tables import ledger as ledger_tables
from fillip.manage.store.tables import tenant as tenant_tables
from fillip.manage.user.postgres import select_seen
from fillip.rows.campaign.postgres import name_lists, read_version
from fillip.rows.limit.postgres import know_parts, read_counters
from fillip.rows.quest.postgres import read_instance

MAX_GIVEN = 1_000
_SCHEMAS: Mapping[str, dict[str, Any]] = {GRANT: GRANT_SCHEMA, REPAIR: REPAIR_SCHEMA}
"""Of own events that the tenant has no action for."""
_campaign, _version = book_tables.campaign.c, book_tables.campaign_version.c
_OTHERS = (
    select(_version.definition)
    .join(
        book_tables.campaign,
        (_campaign.tenant_id == _version.tenant_id)
        & (_campaign.campaign_id == _version.campaign_id)
        & (_campaign.version == _version.version),
    )
    .where(
        _campaign.tenant_id == bindparam("tenant_id"),
        _campaign.campaign_id != bindparam("campaign_id"),
        _campaign.state.not_in(REFUSING),
    )
)
_NOT_WITH_ALL = or_(_version.definition["stackable"].astext == "false", _version.definition["exclusive"].is_not(None))
_INSTANCE = [
    cast(column, Text).label(column.name) if column.name in ("steps", "start_attributes") else column
    for column in ledger_tables.quest_instance.c
]


def _select_context() -> Select[Any]:
    tenant_id: BindParameter[str] = bindparam("tenant_id")
    action, user = book_tables.action.c, select_seen(tenant_id, bindparam("user_id")).c
    named = (action.tenant_id == tenant_id) & (action.name == bindparam("action"))
    return select(
        tenant_tables.tenant,
        select(action.schema).where(named).scalar_subquery().label("schema"),
        select(user.attributes).scalar_subquery().label("attributes"),
        select(user.revision).scalar_subquery().label("user_revision"),
        select(user.time_zone).scalar_subquery().label("user_time_zone"),
    ).where(tenant_tables.tenant.c.tenant_id == tenant_id)


_CURRENT_CONTEXT = _select_context()
"""Built once: building a statement costs as much as running it."""


class ExplainedEvent(Struct, frozen=True):
    """An event as recorded or as asked about, before its attributes are typed. Source and id are '' when made up."""

    source: str
    event_id: str
    user_id: str
    action: str
    occurred_at: datetime
    received_at: datetime
    attributes: dict[str, Any]


async def find_event(
    connection: Connection, caller: Caller, event_id: str, source: str | None, *, at: str = "/event_source"
) -> ExplainedEvent:
    """A recorded event, of `source` where it is given.

    Raises NotFound: events that met no rule are not kept; and Invalid, `at` the source, where several have one of this id.
    """
    row = await find_recorded(connection, caller, event_id, source, at=at)
    if row is None:
        raise NotFound(f"there is no record of event '{event_id}': an event that met no rule is not kept")
    plain = {name: row._mapping[name] for name in ExplainedEvent.__struct_fields__ if name != "source"}
    return ExplainedEvent(source=row.event_source, **plain)


async def load_recorded(connection: Connection, caller: Caller, decision: Row[Any]) -> EventContext:
    """The context that a decision was made in: schemas and lists of its book version, user and cohorts as recorded."""
    occurrence = await find_event(connection, caller, decision.event_id, decision.event_source)
    version = book_tables.campaign_version.c
    same = (version.tenant_id == caller.tenant_id) & (version.campaign_id == decision.campaign_id)
    row = (
        await connection.execute(
            select(book_tables.campaign_version).where(same, version.version == decision.campaign_version)
        )
    ).one()
    state: CampaignState = "paused" if decision.reason == "paused" else "shadow" if decision.shadow else "running"
    tenant = await recall_document(connection, caller, decision.book_version, "tenant", caller.tenant_id)
    schema = _SCHEMAS.get(occurrence.action)
    if schema is None:
        document = await recall_document(connection, caller, decision.book_version, "action", occurrence.action)
        schema = document["schema"]
    campaign_version = await know_lists(connection, caller, _read_version(row, state), decision.book_version)
    user = build_coercer(derive_type(tenant["user_schema"]))(decision.user_attributes or {})
    cohorts = await _recall_cohorts(connection, caller, decision)
    context = build_context(caller, read_tenant(tenant), campaign_version, occurrence, schema, user, cohorts, [])
    return structs.replace(context, user_revision=decision.user_revision)


class CurrentContext(Struct, frozen=True):
    """What an event meets as it stands now: the tenant, its action's schema, and what is known of its user."""

    tenant: Mapping[str, Any]
    schema: dict[str, Any]
    attributes: Mapping[str, Any]
    user_revision: int | None
    user_time_zone: str | None
    cohorts: frozenset[str]


async def read_current_context(connection: Connection, caller: Caller, occurrence: ExplainedEvent) -> CurrentContext:
    """What an event meets now; raises NotFound for an unknown action."""
    given = {"tenant_id": caller.tenant_id, "action": occurrence.action, "user_id": occurrence.user_id}
    row = (await connection.execute(_CURRENT_CONTEXT, given)).one()
    schema = _SCHEMAS.get(occurrence.action, row.schema)
    if schema is None:
        raise NotFound(f"there is no action '{occurrence.action}'")
    return CurrentContext(
        tenant=row._mapping,
        schema=schema,
        attributes=row.attributes or {},
        user_revision=row.user_revision,
        user_time_zone=row.user_time_zone,
        cohorts=await list_cohorts(connection, caller, occurrence.user_id),
    )


async def load_current(
    connection: Connection, caller: Caller, row: Row[Any], occurrence: ExplainedEvent, current: CurrentContext
) -> EventContext:
    """The context of an event before a campaign (its row) as it stands now."""
    user = build_coercer(derive_type(current.tenant["user_schema"]))(current.attributes)
    (campaign_version,), tenant = await read_versions(connection, caller, [row]), read_tenant(current.tenant)
    limits = await list_limits(connection, caller, row.campaign_id)
    limits += list_limits_to_come(campaign_version)
    context = build_context(caller, tenant, campaign_version, occurrence, current.schema, user, current.cohorts, limits)
    lists = await read_lists(connection, caller, find_key_lists(limits))
    book = structs.replace(context.event.book, lists=lists)
    event = structs.replace(context.event, book=book, user_time_zone=current.user_time_zone)
    context = structs.replace(context, event=event, user_revision=current.user_revision)
    return await know_opening(connection, caller, context)


async def know_lists(
    connection: Connection, caller: Caller, campaign_version: CampaignVersion, book_version: int | None = None
) -> CampaignVersion:
    """The campaign with the lists that its rules read, as they were at a version of the book or are (None)."""
    if not (named := name_lists(campaign_version)):
        return campaign_version
    return structs.replace(campaign_version, lists=await read_lists(connection, caller, named, book_version))


async def know_opening(connection: Connection, caller: Caller, context: EventContext) -> EventContext:
    """The context with the schema of the quest's opening action, where later rules read the event that opened it."""
    newest, book = context.campaign_version, context.event.book
    asking = [
        campaign_version.campaign.quest
        for campaign_version in (newest, *newest.retained)
        if campaign_version.late_rules
    ]
    actions = {}
    for opening in {quest.opening_action for quest in asking if quest and quest.opening_action}:
        schema = await _find_schema(connection, caller, opening)
        actions[opening] = Action(opening, schema, build_event_coercer(schema))
    event = structs.replace(context.event, book=structs.replace(book, actions=actions))
    return structs.replace(context, event=event) if actions else context


async def _find_schema(connection: Connection, caller: Caller, action: str) -> dict[str, Any]:
    table = book_tables.action
    mine = (table.c.tenant_id == caller.tenant_id) & (table.c.name == action)
    schema: dict[str, Any] = (await connection.execute(select(table.c.schema).where(mine))).scalar_one()
    return schema


async def find_instances(
    connection: Connection, caller: Caller, quest_id: str, user_id: str, quest_event: QuestEvent
) -> list[Instance]:
    """A user's instances of a quest (its CampaignVersion.quest_id) that are open, or marked as lapsed and not over for the event, or the newest of their
    key, at most 1,000: first those that the event finds, each in order of start.
    """
    table, newer = ledger_tables.quest_instance, ledger_tables.quest_instance.alias()
    mine = (table.c.tenant_id == caller.tenant_id) & (table.c.campaign_id == quest_id) & (table.c.user_id == user_id)
    same = [newer.c[name] == table.c[name] for name in ("tenant_id", "campaign_id", "user_id", "instance_key")]
    followed = select(newer.c.occurrence).where(*same, newer.c.occurrence > table.c.occurrence).exists()
    waiting = or_(table.c.state == "open", and_(table.c.state == "lapsed", table.c.ends_at >= find_due(quest_event)))
    statement = select(*_INSTANCE).where(mine, or_(waiting, ~followed))
    found = or_(table.c.route.in_(quest_event.list_routes() or ()), table.c.instance_key == quest_event.key)
    rows = await connection.execute(statement.order_by(found.desc(), table.c.start_offset).limit(1000))
    return [read_instance(row._mapping) for row in rows]


async def find_completed(connection: Connection, caller: Caller, decision: Row[Any], user_id: str) -> Instance | None:
    """The instance of a quest that a decision's event completed, as it stands with who its user is by now; None where it is no
    more, or was none.
    """
    if not decision.instance:
        return None
    key, _, occurrence = decision.instance.rpartition("#")
    mine = _is_of(ledger_tables.quest_instance.c, caller, decision, user_id, key, int(occurrence))
    row = (await connection.execute(select(*_INSTANCE).where(*mine))).one_or_none()
    return read_instance(row._mapping) if row else None


async def list_given(
    connection: Connection, caller: Caller, decision: Row[Any], user_id: str, instance: Instance
) -> list[tuple[str, GivenAnswer]]:
    """What events gave to each step of a decision's instance, with the step, in the order in which they counted."""
    met, event = ledger_tables.quest_step_met.c, ledger_tables.event_met.c
    mine = _is_of(met, caller, decision, user_id, instance.key, instance.occurrence)
    statement = select(ledger_tables.quest_step_met).where(*mine).order_by(met.sequence).limit(MAX_GIVEN)
    rows = (await connection.execute(statement)).all()
    named = (event.tenant_id == caller.tenant_id) & event.event_key.in_({row.event_key for row in rows})
    names = await connection.execute(select(event.event_key, event.event_id, event.event_source).where(named))
    by_key = {name.event_key: {"event_id": name.event_id, "event_source": name.event_source} for name in names}
    return [(row.step, GivenAnswer(**by_key[row.event_key], **_read_given(row))) for row in rows]


def _read_given(row: Row[Any]) -> dict[str, Any]:
    return {"amount": row.amount, "reversed": row.reversed, "day": row.day, "value": row.value or None}


def _is_of(column: Any, caller: Caller, decision: Row[Any], user_id: str, key: str, occurrence: int) -> list[Any]:  # noqa: ANN401
    campaign_id = decision.campaign_id
    return [
        column.tenant_id == caller.tenant_id,
        column.campaign_id == (name_shadow(campaign_id, decision.campaign_version) if decision.shadow else campaign_id),
        column.user_id == user_id,
        column.instance_key == key,
        column.occurrence == occurrence,
    ]


async def read_charged(connection: Connection, charges: Sequence[LimitCharge]) -> dict[CounterKey, Counter]:
    """The counters that these charges name, as they stand, without a lock; one that was never used is at 0."""
    driver = DriverConnection(connection)
    counters = await read_counters(driver, {charge.counter for charge in charges})
    if frames := {frame for charge in charges for frame in charge.frames}:
        await know_parts(driver, counters, frames)
    return counters


async def list_limits(connection: Connection, caller: Caller, campaign_id: str | None = None) -> list[Limit]:
    """The limits that a grant of one campaign may touch, or all."""
    limit = book_tables.spending_limit.c
    statement = select(book_tables.spending_limit).where(limit.tenant_id == caller.tenant_id)
    if campaign_id:
        statement = statement.where(or_(limit.campaign_id.is_(None), limit.campaign_id == campaign_id))
    return [read_limit(row) for row in await connection.execute(statement)]


def list_limits_to_come(campaign_version: CampaignVersion) -> Sequence[Limit]:
    """Those of the definition of a campaign that is not launched yet: with it they will be in force."""
    return campaign_version.limits if campaign_version.state in UNLAUNCHED else ()


async def may_collide(connection: Connection, caller: Caller, campaign: CampaignVersion) -> bool:
    """Whether another campaign that may grant stands against this one."""
    statement = _OTHERS.where(_NOT_WITH_ALL) if campaign.campaign.stackable else _OTHERS
    given = {"tenant_id": caller.tenant_id, "campaign_id": campaign.campaign_id}
    rows = (await connection.execute(statement, given)).all()
    return any(collide(campaign.campaign, msgspec.convert(row.definition, Campaign)) for row in rows)


async def list_others(connection: Connection, caller: Caller, campaign_id: str, action: str) -> list[CampaignVersion]:
    """The other campaigns that may grant for events of an action."""
    definition = _version.definition
    same_action = or_(definition["action"].astext == action, definition["kind"].astext == "QUEST")
    statement = select_campaigns(caller).where(
        _campaign.campaign_id != campaign_id, _campaign.state.not_in(REFUSING), same_action
    )
    return await read_versions(connection, caller, (await connection.execute(statement)).all())


async def read_versions(connection: Connection, caller: Caller, rows: Sequence[Row[Any]]) -> list[CampaignVersion]:
    """The campaigns of the catalogue's rows, in the state shown, with the versions that are kept beside each."""
    earlier = await list_kept(connection, caller) if any(row.kept for row in rows) else []
    campaign_versions = []
    for row in rows:
        versions = [_read_version(each, row.shown) for each in (*_choose(earlier, row.campaign_id), row)]
        campaign_versions.append(join_versions([await know_lists(connection, caller, each) for each in versions]))
    return campaign_versions


def _choose(earlier: Iterable[Row[Any]], campaign_id: str) -> list[Row[Any]]:
    return [row for row in earlier if row.campaign_id == campaign_id]


def _read_version(row: Row[Any], state: CampaignState) -> CampaignVersion:
    """The campaign version that a row holds, in `state`; of the same content the same, with its compiled rules."""
    definition, checked = msgspec.json.encode(row.definition), msgspec.json.encode(row.checked)
    return _keep_version(row.campaign_id, row.version, state, definition, checked)


_keep_version = lru_cache(maxsize=256)(read_version)


def build_context(
    caller: Caller,
    tenant: Tenant,
    campaign_version: CampaignVersion,
    occurrence: ExplainedEvent,
    schema: dict[str, Any],
    user: Mapping[str, object],
    cohorts: frozenset[str],
    limits: Iterable[Limit],
) -> EventContext:
    """An event before one campaign of a book that has nothing else but `limits`; `schema` is that of its action, `user` typed."""
    typed = build_event_coercer(schema)(occurrence.attributes, occurrence.occurred_at)
    book = Book(
        tenant,
        0,
        {},
        dict,
        {campaign_version.campaign_id: campaign_version},
        {},
        {limit.limit_id: limit for limit in limits},
        {},
    )
    fields = {name: getattr(occurrence, name) for name in ExplainedEvent.__struct_fields__}
    place, at = Place("", 0, 0), occurrence.received_at
    event = Event(tenant_id=caller.tenant_id, **fields, typed=typed, place=place, taken_at=at, book=book)
    return EventContext(campaign_version, event, user, cohorts)


def read_tenant(document: Mapping[str, Any]) -> Tenant:
    """The tenant of a row or of a document of its book."""
    return Tenant(**{name: document[name] for name in Tenant.__struct_fields__ if name in document})  # of older ones


async def recall_document(
    connection: Connection, caller: Caller, book_version: int, kind: str, object_id: str
) -> dict[str, Any]:
    """A part of the book as it stood at a version, at which it was there."""
    change = book_tables.book_change.c
    mine = (change.tenant_id == caller.tenant_id) & (change.kind == kind) & (change.object_id == object_id)
    statement = select(change.document).where(mine, change.book_version <= book_version)
    found = await connection.execute(statement.order_by(change.book_version.desc()).limit(1))
    document: dict[str, Any] = found.scalar_one()
    return document


async def _recall_cohorts(connection: Connection, caller: Caller, decision: Row[Any]) -> frozenset[str]:
    """The cohorts the user was in. Versions are recorded: where a list changed since, membership is taken as met."""
    recorded: dict[str, int] = decision.cohorts or {}
    cohort = cohort_tables.cohort.c
    statement = select(cohort.cohort_id, cohort.version).where(
        cohort.tenant_id == caller.tenant_id, cohort.cohort_id.in_(recorded)
    )
    same = {row.cohort_id for row in await connection.execute(statement) if row.version == recorded[row.cohort_id]}
    members = await list_cohorts(connection, caller, decision.user_id)
    return frozenset(cohort_id for cohort_id in recorded if cohort_id not in same or cohort_id in members)
