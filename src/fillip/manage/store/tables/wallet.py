"""The tables of points of users."""

from sqlalchemy import ARRAY, Column, DateTime

from fillip.manage.store.tables.kinds import count, instant, integer, json, key, make_table, octets, text, uuid

wallet = make_table(
    "wallet",
    key("tenant_id", "user_id", "currency"),
    count("pending", "active", "held", "spent", "expired", "reversed", "floor", "last_seq", "owed"),
    instant("activated_to", "expired_to", "updated_at"),
    instant("due_at", null=True),
)
wallet_lot = make_table(
    "wallet_lot",
    key("tenant_id"),
    uuid("lot_id", key=True),
    text("user_id", "currency"),
    count("amount", "remaining", "seq", "reversed"),
    instant("available_at", "expires_at", null=True),
)
wallet_transfer = make_table(
    "wallet_transfer",
    key("tenant_id"),
    uuid("transfer_id", key=True),
    text("user_id", "currency", "kind", "debit", "credit", "source_id"),
    count("seq", "amount", "pending_after", "active_after"),
    json("lots"),
    [Column("expiries", ARRAY(DateTime(timezone=True)))],
    text("reason", null=True),
    instant("made_at"),
)
wallet_draw = make_table(
    "wallet_draw",
    key("tenant_id", "user_id", "currency"),
    count("seq", key=True),
    uuid("transfer_id"),
    count("owed"),
    instant("since"),
    integer("part"),
)
wallet_part = make_table(
    "wallet_part",
    key("tenant_id"),
    uuid("transfer_id", key=True),
    integer("part", key=True),
    text("currency"),
    count("amount"),
    json("lots"),
    [Column("expiries", ARRAY(DateTime(timezone=True)))],
    instant("made_at"),
)
wallet_refund = make_table(
    "wallet_refund",
    key("tenant_id", "refund_id"),
    uuid("transfer_id", key=True),
    count("amount", "returned"),
    uuid("last_id"),
)
wallet_hold = make_table(
    "wallet_hold",
    key("tenant_id"),
    uuid("transfer_id", key=True),
    text("user_id", "currency", "hold_id", "state"),
    count("seq", "amount", "captured"),
    instant("held_until"),
    instant("ended_at", "due_at", null=True),
)
balance_import = make_table(
    "balance_import",
    key("tenant_id", "import_id"),
    octets("content_hash"),
    count("rows", "users", "posted_rows"),
    json("sums", "posted"),
    integer("posted_portions"),
    instant("created_at"),
    instant("next_at", "ended_at", null=True),
    text("error", null=True),
)
