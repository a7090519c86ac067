"""The tables that the control plane reads and writes, as SQLAlchemy knows them (a test compares), columns by kind."""

from collections.abc import Iterable
from functools import partial
from itertools import chain
from typing import Any, TypeAlias

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
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
from sqlalchemy.types import TypeEngine

metadata = MetaData()
Columns: TypeAlias = Iterable[Column[Any]]


def _table(name: str, *columns: Columns) -> Table:
    return Table(name, metadata, *chain.from_iterable(columns))


def _make(kind: TypeEngine[Any], *names: str, key: bool = False, null: bool = False, given: bool = True) -> Columns:
    """Columns of one kind; one that is not always `given` the server fills."""
    return [
        Column(name, kind, primary_key=key, nullable=null, server_default=None if given else FetchedValue())
        for name in names
    ]


_key = partial(_make, Text(), key=True)
_text = partial(_make, Text())
_count = partial(_make, BigInteger(), given=False)
_integer = partial(_make, Integer(), given=False)
_uuid = partial(_make, Uuid(), given=False)
_instant = partial(_make, DateTime(timezone=True), given=False)
_json = partial(_make, JSONB(none_as_null=True), given=False)
_bytes = partial(_make, LargeBinary())
_day = partial(_make, Date())
_flag = partial(_make, Boolean(), given=False)


def _revised() -> Columns:
    return [*_count("revision"), *_instant("created_at", "updated_at")]


tenant = _table(
    "tenant",
    _key("tenant_id"),
    _text("name", "time_zone", "currency", "clock"),
    _json("user_schema"),
    _count("book_version", "revision"),
    _instant("created_at"),
    _integer("holdout_percent"),
)
tenant_quota = _table("tenant_quota", _key("tenant_id"), _json("quotas"))
tenant_usage = _table("tenant_usage", _key("tenant_id"), _count("coupon_codes", "stored_bytes"))
api_key = _table(
    "api_key",
    _uuid("key_id", key=True),
    _text("tenant_id", "name", "prefix"),
    _bytes("key_hash"),
    [Column("scopes", ARRAY(Text), nullable=False)],
    _instant("created_at"),
    _instant("expires_at", "revoked_at", null=True),
)
end_user = _table("end_user", _key("tenant_id", "user_id"), _json("attributes"), _revised())
action = _table("action", _key("tenant_id", "name"), _json("schema"), _revised())
campaign = _table(
    "campaign",
    _key("tenant_id", "campaign_id"),
    _text("state"),
    _integer("version"),
    _revised(),
    [Column("kept", ARRAY(Integer), nullable=False, server_default=FetchedValue())],
)
campaign_version = _table(
    "campaign_version",
    _key("tenant_id", "campaign_id"),
    _integer("version", key=True),
    _json("definition", "checked"),
    _count("steps"),
    _instant("created_at"),
    _text("open_instances", null=True),
)
spending_limit = _table(
    "spending_limit",
    _key("tenant_id", "limit_id"),
    _text("campaign_id", "reward_kind", "currency", "action", "key", null=True),
    _text("scope", "measure", "span"),
    _bytes("key_checked", null=True),
    _count("cap"),
    _revised(),
)
named_list = _table(
    "named_list", _key("tenant_id", "list_id"), _text("name", "kind"), _count("version"), _integer("size"), _revised()
)
named_list_version = _table(
    "named_list_version", _key("tenant_id", "list_id"), _count("version", key=True), _json("items")
)
cohort = _table(
    "cohort",
    _key("tenant_id", "cohort_id"),
    _text("name"),
    _integer("version"),
    _uuid("content_id"),
    _count("size", "octets"),
    _instant("built_at", null=True),
    _text("last_error", null=True),
    _json("combination", null=True),
    _revised(),
    _text("kind", given=False),
    _text("sql", "cron", null=True),
    _integer("every_minutes", null=True),
    _integer("query_revision", "failures"),
    _uuid("build_id", null=True),
    _instant("next_run_at", "held_until", "begun_at", "received_at", "committed_at", null=True),
)
user_numbering = _table("user_numbering", _key("tenant_id"), _count("numbered"))
cohort_build = _table(
    "cohort_build",
    _key("tenant_id"),
    _uuid("build_id", key=True),
    _text("cohort_id", "change"),
    _text("state", "step", "rejections", given=False),
    _count("lines", "numbered", "to_number", "rejected", "duplicates", "added", "removed"),
    _count("size", "book_version", null=True),
    _integer("version", "query_revision", null=True),
    _text("error", null=True),
    _instant("started_at", "updated_at"),
    _instant("ended_at", null=True),
)
backtest = _table(
    "backtest",
    _key("tenant_id"),
    _uuid("backtest_id", key=True),
    _text("campaign_id"),
    _integer("version", "tries"),
    _instant("first_at", "until_at", "asked_at"),
    _text("state", "definitions", given=False),
    _instant("begun_at", "ended_at", "held_until", null=True),
    _uuid("run_id", null=True),
    _count("events_done"),
    _count("events", null=True),
    _json("result", null=True),
    _text("error", null=True),
)
cohort_rule = _table(
    "cohort_rule",
    _key("tenant_id", "cohort_id"),
    _uuid("rule_id"),
    _text("action"),
    _json("definition"),
    _bytes("rule_checked"),
    _bytes("sum_checked", null=True),
    _integer("cost"),
    _text("state", given=False),
    _instant("known_since", null=True),
    _instant("saved_at"),
)
cohort_rule_left = _table("cohort_rule_left", _key("tenant_id"), _uuid("rule_id", key=True), _instant("left_at"))
book_change = _table(
    "book_change",
    _key("tenant_id"),
    _count("book_version", key=True),
    _text("kind", "object_id"),
    _json("document"),
    _uuid("changed_by", null=True),
    _instant("changed_at"),
)
idempotency = _table(
    "idempotency",
    _key("tenant_id", "key"),
    _bytes("request_hash"),
    _integer("status", null=True),
    _json("headers", null=True),
    _bytes("body", null=True),
    _instant("created_at"),
)
gateway_ticket = _table(
    "gateway_ticket",
    _bytes("ticket_hash", key=True),
    _text("tenant_id", "user_id"),
    _instant("expires_at"),
    _instant("redeemed_at", null=True),
)
event_met = _table(
    "event_met",
    _key("tenant_id"),
    _uuid("event_key", key=True),
    _text("event_id", "event_source", "user_id", "action"),
    _bytes("fingerprint", null=True),
    _instant("occurred_at", "received_at"),
    _json("attributes"),
    _integer("partition"),
    _count("log_offset"),
)
quest_instance = _table(
    "quest_instance",
    _key("tenant_id", "campaign_id", "user_id", "instance_key"),
    _integer("occurrence", key=True),
    _integer("campaign_version"),
    _text("state"),
    _instant("started_at", "updated_at"),
    _instant("ends_at", null=True),
    _uuid("start_event_key", "completed_by", null=True),
    _text("start_event_id", "start_event_source", null=True),
    _count("start_offset", "route", "revision"),
    _json("steps"),
    _json("start_attributes", null=True),
)
quest_step_met = _table(
    "quest_step_met",
    _key("tenant_id", "campaign_id", "user_id", "instance_key", "step"),
    _integer("occurrence", key=True),
    _uuid("event_key", key=True),
    _count("amount", "reversed", "sequence"),
    _day("day"),
)
limit_counter = _table(
    "limit_counter",
    _key("tenant_id", "limit_id", "user_id", "key"),
    _day("window_start", key=True),
    _count("used", "cap", "version"),
)
decision = _table(
    "decision",
    _key("tenant_id"),
    _uuid("decision_id", key=True),
    _text("campaign_id", "event_id", "event_source", "user_id", "instance", "outcome", "reason"),
    _integer("campaign_version", "partition"),
    _uuid("event_key"),
    _text("outranked_by", null=True),
    _instant("occurred_at", "decided_at"),
    _day("local_day"),
    _json("reward_values", "limits"),
    _count("book_version", "log_offset"),
    _count("user_revision", null=True),
    _json("user_attributes", "cohorts", null=True),
    _text("variant", null=True),
    _flag("shadow"),
)
incentive = _table(
    "incentive",
    _key("tenant_id"),
    _uuid("incentive_id", key=True),
    _uuid("decision_id"),
    _text("campaign_id", "user_id", "event_id", "event_source", "kind", "state"),
    _integer("reward_index"),
    _count("value", "inbox_seq", "reversed_value"),
    _text("currency", "coupon_code", "reservation_id", null=True),
    _json("payload", null=True),
    _instant("occurred_at", "received_at", "taken_at", "granted_at"),
    _instant("expires_at", "claimed_at", "reserved_until", null=True),
    _text("variant", null=True),
)
inbox = _table(
    "inbox",
    _key("tenant_id", "user_id"),
    _count("seq", key=True),
    _uuid("incentive_id"),
    _instant("acked_at", "granted_at", null=True),
    [*_text("kind"), *_text("campaign_id", null=True)],
)
incentive_change = _table(
    "incentive_change",
    _key("tenant_id", "user_id"),
    _count("inbox_seq", key=True),
    _uuid("incentive_id", "decision_id"),
    _text("campaign_id", "event_id", "event_source", "kind", "change"),
    _count("value", "changed_value", "reversed_value"),
    _text("currency", "coupon_code", "reason", "reversal_id", "reversal_source", null=True),
    _json("payload", null=True),
    _instant("expires_at", null=True),
    _instant("granted_at", "changed_at"),
)
reversal = _table(
    "reversal",
    _key("tenant_id"),
    _uuid("reversal_key", key=True),
    _text("reversal_id", "reversal_source", "event_id", "event_source", "user_id", "state", "reason"),
    [Column("number", BigInteger, Identity(always=True), nullable=False)],
    _uuid("event_key"),
    _json("request", "incentives", "counters", "quests"),
    _text("share", null=True),
    _instant("occurred_at", "received_at", "recorded_at"),
    _instant("decided_at", null=True),
)
coupon_pool = _table("coupon_pool", _key("tenant_id", "pool_id"), _text("name"), _instant("created_at"))
coupon = _table(
    "coupon",
    _key("tenant_id", "code"),
    _text("pool_id"),
    _uuid("incentive_id", null=True),
    _instant("redeemed_at", null=True),
)
coupon_generation = _table(
    "coupon_generation",
    _key("tenant_id"),
    _uuid("generation_id", key=True),
    _text("pool_id", "pattern"),
    _integer("wanted", "made"),
    _instant("created_at"),
    _instant("finished_at", null=True),
)
badge = _table(
    "badge", _key("tenant_id", "badge_id"), _text("name", "description"), _text("image_url", null=True), _revised()
)
badge_held = _table("badge_held", _key("tenant_id", "user_id", "badge_id"), _uuid("incentive_id"), _instant("held_at"))
rejection = _table(
    "rejection",
    _uuid("rejection_id", key=True),
    _text("tenant_id", "event_id", "event_source", null=True),
    _text("topic", "reason", "detail"),
    _integer("partition", "generation"),
    _count("log_offset"),
    _bytes("original"),
    _instant("received_at", "rejected_at"),
)
erasure = _table(
    "erasure",
    _key("tenant_id"),
    _uuid("erasure_id", key=True),
    _text("user_id", "pseudonym", "error", "commit_lsn", null=True),
    _uuid("salt", null=True),
    _text("state", "step", given=False),
    _count("changed"),
    _json("ends", null=True),
    _instant("requested_at"),
    _instant("cut_at", "erased_at", "ended_at", null=True),
    _instant("next_at", "held_until", null=True),
)
points_currency = _table(
    "points_currency", _key("tenant_id", "currency"), _text("name"), _count("floor", null=True, given=True), _revised()
)
wallet = _table(
    "wallet",
    _key("tenant_id", "user_id", "currency"),
    _count("pending", "active", "spent", "expired", "reversed", "floor", "last_seq", "owed"),
    _instant("activated_to", "expired_to", "updated_at"),
    _instant("due_at", null=True),
)
wallet_lot = _table(
    "wallet_lot",
    _key("tenant_id"),
    _uuid("lot_id", key=True),
    _text("user_id", "currency"),
    _count("amount", "remaining", "seq", "reversed"),
    _instant("available_at", "expires_at", null=True),
)
wallet_transfer = _table(
    "wallet_transfer",
    _key("tenant_id"),
    _uuid("transfer_id", key=True),
    _text("user_id", "currency", "kind", "debit", "credit", "source_id"),
    _count("seq", "amount", "pending_after", "active_after"),
    _json("lots"),
    [Column("expiries", ARRAY(DateTime(timezone=True)))],
    _text("reason", null=True),
    _instant("made_at"),
)
wallet_draw = _table(
    "wallet_draw",
    _key("tenant_id", "user_id", "currency"),
    _count("seq", key=True),
    _uuid("transfer_id"),
    _count("owed"),
    _instant("since"),
    _integer("part"),
)
wallet_part = _table(
    "wallet_part",
    _key("tenant_id"),
    _uuid("transfer_id", key=True),
    _integer("part", key=True),
    _text("currency"),
    _count("amount"),
    _json("lots"),
    [Column("expiries", ARRAY(DateTime(timezone=True)))],
    _instant("made_at"),
)
wallet_refund = _table(
    "wallet_refund",
    _key("tenant_id", "refund_id"),
    _uuid("transfer_id", key=True),
    _count("amount", "returned"),
    _uuid("last_id"),
)
