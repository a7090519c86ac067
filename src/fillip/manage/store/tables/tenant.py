"""The tables of tenants, their keys and users."""

from sqlalchemy import ARRAY, BigInteger, Column, Text

from fillip.manage.store.tables.kinds import count, instant, integer, json, key, make_table, octets, revised, text, uuid

tenant = make_table(
    "tenant",
    key("tenant_id"),
    text("name", "time_zone", "currency", "clock"),
    json("user_schema"),
    count("book_version", "revision"),
    instant("created_at"),
    integer("holdout_percent"),
    [Column("merged_since", BigInteger)],
)
tenant_quota = make_table("tenant_quota", key("tenant_id"), json("quotas"))
tenant_usage = make_table("tenant_usage", key("tenant_id"), count("coupon_codes", "stored_bytes"))
api_key = make_table(
    "api_key",
    uuid("key_id", key=True),
    text("tenant_id", "name", "prefix"),
    octets("key_hash"),
    [Column("scopes", ARRAY(Text), nullable=False)],
    instant("created_at"),
    instant("expires_at", "revoked_at", null=True),
)
end_user = make_table(
    "end_user", key("tenant_id", "user_id"), json("attributes"), revised(), text("time_zone", null=True)
)
idempotency = make_table(
    "idempotency",
    key("tenant_id", "key"),
    octets("request_hash"),
    integer("status", null=True),
    json("headers", null=True),
    octets("body", null=True),
    instant("created_at"),
)
gateway_ticket = make_table(
    "gateway_ticket",
    octets("ticket_hash", key=True),
    text("tenant_id", "user_id"),
    instant("expires_at"),
    instant("redeemed_at", null=True),
)
erasure = make_table(
    "erasure",
    key("tenant_id"),
    uuid("erasure_id", key=True),
    text("user_id", "pseudonym", "error", "commit_lsn", null=True),
    uuid("salt", "part_of", null=True),
    text("state", "step", given=False),
    count("changed"),
    json("ends", null=True),
    instant("requested_at"),
    instant("cut_at", "erased_at", "ended_at", null=True),
    instant("next_at", "held_until", null=True),
)
user_merge = make_table(
    "user_merge",
    key("tenant_id", "user_id"),
    text("merge_id", "asked_into", "merged_into"),
    text("reason", null=True),
    json("moved"),
    instant("merged_at"),
    instant("next_at", null=True),
)
