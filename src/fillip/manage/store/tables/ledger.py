"""The tables of what was decided, granted and taken back."""

from sqlalchemy import BigInteger, Column, Identity

from fillip.manage.store.tables.kinds import (
    count,
    day,
    flag,
    instant,
    integer,
    json,
    key,
    make_table,
    octets,
    text,
    uuid,
)

event_met = make_table(
    "event_met",
    key("tenant_id"),
    uuid("event_key", key=True),
    text("event_id", "event_source", "user_id", "action"),
    octets("fingerprint", null=True),
    instant("occurred_at", "received_at"),
    json("attributes"),
    integer("partition"),
    count("log_offset"),
)
quest_instance = make_table(
    "quest_instance",
    key("tenant_id", "campaign_id", "user_id", "instance_key"),
    integer("occurrence", key=True),
    integer("campaign_version"),
    text("state"),
    instant("started_at", "updated_at"),
    instant("ends_at", null=True),
    uuid("start_event_key", "completed_by", null=True),
    text("start_event_id", "start_event_source", null=True),
    count("start_offset", "route", "revision"),
    json("steps"),
    json("start_attributes", null=True),
)
quest_step_met = make_table(
    "quest_step_met",
    key("tenant_id", "campaign_id", "user_id", "instance_key", "step"),
    integer("occurrence", key=True),
    uuid("event_key", key=True),
    count("amount", "reversed", "sequence"),
    day("day"),
    text("value"),
)
limit_counter = make_table(
    "limit_counter",
    key("tenant_id", "limit_id", "user_id", "key"),
    day("window_start", key=True),
    count("used", "cap", "version"),
)
decision = make_table(
    "decision",
    key("tenant_id"),
    uuid("decision_id", key=True),
    text("campaign_id", "event_id", "event_source", "user_id", "instance", "outcome", "reason"),
    integer("campaign_version", "partition"),
    uuid("event_key"),
    text("outranked_by", null=True),
    instant("occurred_at", "decided_at"),
    day("local_day"),
    json("reward_values", "limits"),
    count("book_version", "log_offset"),
    count("user_revision", null=True),
    json("user_attributes", "cohorts", null=True),
    text("variant", null=True),
    flag("shadow"),
)
incentive = make_table(
    "incentive",
    key("tenant_id"),
    uuid("incentive_id", key=True),
    uuid("decision_id"),
    text("campaign_id", "user_id", "event_id", "event_source", "kind", "state"),
    integer("reward_index"),
    count("value", "inbox_seq", "reversed_value"),
    text("currency", "coupon_code", "reservation_id", null=True),
    json("payload", null=True),
    instant("occurred_at", "received_at", "taken_at", "granted_at"),
    instant("expires_at", "claimed_at", "reserved_until", null=True),
    text("variant", null=True),
)
inbox = make_table(
    "inbox",
    key("tenant_id", "user_id"),
    count("seq", key=True),
    uuid("incentive_id"),
    instant("acked_at", "granted_at", null=True),
    [*text("kind"), *text("campaign_id", null=True)],
)
incentive_change = make_table(
    "incentive_change",
    key("tenant_id", "user_id"),
    count("inbox_seq", key=True),
    uuid("incentive_id", "decision_id"),
    text("campaign_id", "event_id", "event_source", "kind", "change"),
    count("value", "changed_value", "reversed_value"),
    text("currency", "coupon_code", "reason", "reversal_id", "reversal_source", null=True),
    json("payload", null=True),
    instant("expires_at", null=True),
    instant("granted_at", "changed_at"),
)
reversal = make_table(
    "reversal",
    key("tenant_id"),
    uuid("reversal_key", key=True),
    text("reversal_id", "reversal_source", "event_id", "event_source", "user_id", "state", "reason"),
    [Column("number", BigInteger, Identity(always=True), nullable=False)],
    uuid("event_key"),
    json("request", "incentives", "counters", "quests"),
    text("share", null=True),
    json("reevaluations", null=True),
    instant("occurred_at", "received_at", "recorded_at"),
    instant("decided_at", null=True),
)
badge_held = make_table("badge_held", key("tenant_id", "user_id", "badge_id"), uuid("incentive_id"), instant("held_at"))
rejection = make_table(
    "rejection",
    uuid("rejection_id", key=True),
    text("tenant_id", "event_id", "event_source", null=True),
    text("topic", "reason", "detail"),
    integer("partition", "generation"),
    count("log_offset"),
    octets("original"),
    instant("received_at", "rejected_at"),
)
