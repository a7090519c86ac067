"""The tables that the control plane reads and writes, as SQLAlchemy knows them (a test compares)."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    Date,
    DateTime,
    FetchedValue,
    Identity,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()


def _text(name: str, *, key: bool = False, null: bool = False) -> Column[str]:
    return Column(name, Text, primary_key=key, nullable=null)


def _count(name: str, *, key: bool = False) -> Column[int]:
    return Column(name, BigInteger, primary_key=key, nullable=False, server_default=FetchedValue())


def _integer(name: str, *, key: bool = False, null: bool = False) -> Column[int]:
    return Column(name, Integer, primary_key=key, nullable=null, server_default=FetchedValue())


def _uuid(name: str, *, key: bool = False, null: bool = False) -> Column[Any]:
    return Column(name, Uuid, primary_key=key, nullable=null, server_default=FetchedValue())


def _instant(name: str, *, null: bool = False) -> Column[datetime]:
    return Column(name, DateTime(timezone=True), nullable=null, server_default=FetchedValue())


def _json(name: str, *, null: bool = False) -> Column[Any]:
    return Column(name, JSONB(none_as_null=True), nullable=null, server_default=FetchedValue())


def _bytes(name: str, *, key: bool = False, null: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, primary_key=key, nullable=null)


def _day(name: str, *, key: bool = False) -> Column[date]:
    return Column(name, Date, primary_key=key, nullable=False)


def _revised() -> tuple[Column[int], Column[datetime], Column[datetime]]:
    return _count("revision"), _instant("created_at"), _instant("updated_at")


tenant = Table(
    "tenant",
    metadata,
    _text("tenant_id", key=True),
    *(_text(name) for name in ("name", "time_zone", "currency", "clock")),
    _json("user_schema"),
    _count("book_version"),
    _count("revision"),
    _instant("created_at"),
)
api_key = Table(
    "api_key",
    metadata,
    _uuid("key_id", key=True),
    *(_text(name) for name in ("tenant_id", "name", "prefix")),
    _bytes("key_hash"),
    Column("scopes", ARRAY(Text), nullable=False),
    _instant("created_at"),
    _instant("expires_at", null=True),
    _instant("revoked_at", null=True),
)
end_user = Table(
    "end_user", metadata, _text("tenant_id", key=True), _text("user_id", key=True), _json("attributes"), *_revised()
)
action = Table("action", metadata, _text("tenant_id", key=True), _text("name", key=True), _json("schema"), *_revised())
campaign = Table(
    "campaign",
    metadata,
    *(_text(name, key=True) for name in ("tenant_id", "campaign_id")),
    _text("state"),
    _integer("version"),
    *_revised(),
    Column("kept", ARRAY(Integer), nullable=False, server_default=FetchedValue()),
)
campaign_version = Table(
    "campaign_version",
    metadata,
    *(_text(name, key=True) for name in ("tenant_id", "campaign_id")),
    _integer("version", key=True),
    *(_json(name) for name in ("definition", "checked")),
    _count("steps"),
    _instant("created_at"),
    _text("open_instances", null=True),
)
spending_limit = Table(
    "spending_limit",
    metadata,
    _text("tenant_id", key=True),
    _text("limit_id", key=True),
    _text("campaign_id", null=True),
    *(_text(name) for name in ("scope", "measure", "span")),
    *(_text(name, null=True) for name in ("reward_kind", "currency", "action", "key")),
    _bytes("key_checked", null=True),
    _count("cap"),
    *_revised(),
)
named_list = Table(
    "named_list",
    metadata,
    *(_text(name, key=True) for name in ("tenant_id", "list_id")),
    *(_text(name) for name in ("name", "kind")),
    _count("version"),
    _integer("size"),
    *_revised(),
)
named_list_version = Table(
    "named_list_version",
    metadata,
    *(_text(name, key=True) for name in ("tenant_id", "list_id")),
    _count("version", key=True),
    _json("items"),
)
cohort = Table(
    "cohort",
    metadata,
    _text("tenant_id", key=True),
    _text("cohort_id", key=True),
    _text("name"),
    _integer("version"),
    _uuid("content_id", null=True),
    _count("size"),
    _count("octets"),
    *_revised(),
)
book_change = Table(
    "book_change",
    metadata,
    _text("tenant_id", key=True),
    _count("book_version", key=True),
    _text("kind"),
    _text("object_id"),
    _json("document"),
    _uuid("changed_by", null=True),
    _instant("changed_at"),
)
idempotency = Table(
    "idempotency",
    metadata,
    _text("tenant_id", key=True),
    _text("key", key=True),
    _bytes("request_hash"),
    _integer("status", null=True),
    _json("headers", null=True),
    _bytes("body", null=True),
    _instant("created_at"),
)
gateway_ticket = Table(
    "gateway_ticket",
    metadata,
    _bytes("ticket_hash", key=True),
    *(_text(name) for name in ("tenant_id", "user_id")),
    _instant("expires_at"),
    _instant("redeemed_at", null=True),
)
event_met = Table(
    "event_met",
    metadata,
    _text("tenant_id", key=True),
    _uuid("event_key", key=True),
    *(_text(name) for name in ("event_id", "event_source")),
    _bytes("fingerprint", null=True),
    *(_text(name) for name in ("user_id", "action")),
    *(_instant(name) for name in ("occurred_at", "received_at")),
    _json("attributes"),
    _integer("partition"),
    _count("log_offset"),
)
quest_instance = Table(
    "quest_instance",
    metadata,
    *(_text(name, key=True) for name in ("tenant_id", "campaign_id", "user_id")),
    _text("instance_key", key=True),
    _integer("occurrence", key=True),
    _integer("campaign_version"),
    _text("state"),
    _instant("started_at"),
    _instant("ends_at", null=True),
    _uuid("start_event_key", null=True),
    *(_text(name, null=True) for name in ("start_event_id", "start_event_source")),
    _count("start_offset"),
    _uuid("completed_by", null=True),
    _json("steps"),
    _json("start_attributes", null=True),
    _count("route"),
    _count("revision"),
    _instant("updated_at"),
)
quest_step_met = Table(
    "quest_step_met",
    metadata,
    *(_text(name, key=True) for name in ("tenant_id", "campaign_id", "user_id", "instance_key")),
    _integer("occurrence", key=True),
    _text("step", key=True),
    _uuid("event_key", key=True),
    *(_count(name) for name in ("amount", "reversed")),
    _day("day"),
    _count("sequence"),
)
limit_counter = Table(
    "limit_counter",
    metadata,
    *(_text(name, key=True) for name in ("tenant_id", "limit_id", "user_id", "key")),
    _day("window_start", key=True),
    *(_count(name) for name in ("used", "cap", "version")),
)
decision = Table(
    "decision",
    metadata,
    _text("tenant_id", key=True),
    _uuid("decision_id", key=True),
    _text("campaign_id"),
    _integer("campaign_version"),
    _uuid("event_key"),
    *(_text(name) for name in ("event_id", "event_source", "user_id", "instance", "outcome", "reason")),
    _text("outranked_by", null=True),
    _instant("occurred_at"),
    _day("local_day"),
    *(_json(name) for name in ("reward_values", "limits")),
    _count("book_version"),
    *(_json(name, null=True) for name in ("user_attributes", "cohorts")),
    _integer("partition"),
    _count("log_offset"),
    _instant("decided_at"),
)
incentive = Table(
    "incentive",
    metadata,
    _text("tenant_id", key=True),
    _uuid("incentive_id", key=True),
    _uuid("decision_id"),
    *(_text(name) for name in ("campaign_id", "user_id", "event_id", "event_source")),
    _integer("reward_index"),
    _text("kind"),
    _count("value"),
    _text("currency", null=True),
    _json("payload", null=True),
    _text("state"),
    _count("inbox_seq"),
    *(_instant(name) for name in ("occurred_at", "received_at", "taken_at", "granted_at")),
    _count("reversed_value"),
    _text("coupon_code", null=True),
    _instant("expires_at", null=True),
    _instant("claimed_at", null=True),
    _text("reservation_id", null=True),
    _instant("reserved_until", null=True),
)
inbox = Table(
    "inbox",
    metadata,
    _text("tenant_id", key=True),
    _text("user_id", key=True),
    _count("seq", key=True),
    _uuid("incentive_id"),
    _instant("acked_at", null=True),
    _text("kind"),
)
incentive_change = Table(
    "incentive_change",
    metadata,
    _text("tenant_id", key=True),
    _text("user_id", key=True),
    _count("inbox_seq", key=True),
    *(_uuid(name) for name in ("incentive_id", "decision_id")),
    *(_text(name) for name in ("campaign_id", "event_id", "event_source", "kind")),
    _count("value"),
    _text("currency", null=True),
    _json("payload", null=True),
    _text("coupon_code", null=True),
    _instant("expires_at", null=True),
    _instant("granted_at"),
    _text("change"),
    *(_count(name) for name in ("changed_value", "reversed_value")),
    _text("reason", null=True),
    *(_text(name, null=True) for name in ("reversal_id", "reversal_source")),
    _instant("changed_at"),
)
reversal = Table(
    "reversal",
    metadata,
    _text("tenant_id", key=True),
    _uuid("reversal_key", key=True),
    *(_text(name) for name in ("reversal_id", "reversal_source")),
    Column("number", BigInteger, Identity(always=True), nullable=False),
    _uuid("event_key"),
    *(_text(name) for name in ("event_id", "event_source", "user_id")),
    _json("request"),
    *(_text(name) for name in ("state", "reason")),
    *(_json(name) for name in ("incentives", "counters", "quests")),
    _text("share", null=True),
    *(_instant(name) for name in ("occurred_at", "received_at", "recorded_at")),
    _instant("decided_at", null=True),
)
coupon_pool = Table(
    "coupon_pool",
    metadata,
    *(_text(name, key=True) for name in ("tenant_id", "pool_id")),
    _text("name"),
    _instant("created_at"),
)
coupon = Table(
    "coupon",
    metadata,
    *(_text(name, key=True) for name in ("tenant_id", "code")),
    _text("pool_id"),
    _uuid("incentive_id", null=True),
    _instant("redeemed_at", null=True),
)
coupon_generation = Table(
    "coupon_generation",
    metadata,
    _text("tenant_id", key=True),
    _uuid("generation_id", key=True),
    *(_text(name) for name in ("pool_id", "pattern")),
    *(_integer(name) for name in ("wanted", "made")),
    _instant("created_at"),
    _instant("finished_at", null=True),
)
badge = Table(
    "badge",
    metadata,
    *(_text(name, key=True) for name in ("tenant_id", "badge_id")),
    *(_text(name) for name in ("name", "description")),
    _text("image_url", null=True),
    *_revised(),
)
badge_held = Table(
    "badge_held",
    metadata,
    *(_text(name, key=True) for name in ("tenant_id", "user_id", "badge_id")),
    _uuid("incentive_id"),
    _instant("held_at"),
)
rejection = Table(
    "rejection",
    metadata,
    _uuid("rejection_id", key=True),
    _text("tenant_id", null=True),
    _text("topic"),
    _integer("partition"),
    _count("log_offset"),
    _integer("generation"),
    *(_text(name) for name in ("reason", "detail")),
    *(_text(name, null=True) for name in ("event_id", "event_source")),
    _bytes("original"),
    *(_instant(name) for name in ("received_at", "rejected_at")),
)
points_currency = Table(
    "points_currency",
    metadata,
    _text("tenant_id", key=True),
    _text("currency", key=True),
    _text("name"),
    Column("floor", BigInteger, nullable=True),
    *_revised(),
)
