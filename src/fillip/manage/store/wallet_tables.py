"""The tables of wallets, as SQLAlchemy knows them (a test compares)."""

from sqlalchemy import Table

from fillip.manage.store.tables import _count, _instant, _integer, _json, _text, _uuid, metadata

wallet = Table(
    "wallet",
    metadata,
    *(_text(name, key=True) for name in ("tenant_id", "user_id", "currency")),
    *(_count(name) for name in ("pending", "active", "spent", "expired", "reversed", "floor", "last_seq", "owed")),
    *(_instant(name) for name in ("activated_to", "expired_to")),
    _instant("due_at", null=True),
    _instant("updated_at"),
)
wallet_lot = Table(
    "wallet_lot",
    metadata,
    _text("tenant_id", key=True),
    _uuid("lot_id", key=True),
    *(_text(name) for name in ("user_id", "currency")),
    *(_count(name) for name in ("amount", "remaining", "seq", "reversed")),
    _instant("available_at", null=True),
    _instant("expires_at", null=True),
)
wallet_transfer = Table(
    "wallet_transfer",
    metadata,
    _text("tenant_id", key=True),
    _uuid("transfer_id", key=True),
    *(_text(name) for name in ("user_id", "currency")),
    _count("seq"),
    *(_text(name) for name in ("kind", "debit", "credit")),
    _count("amount"),
    _json("lots"),
    _text("source_id"),
    _text("reason", null=True),
    *(_count(name) for name in ("pending_after", "active_after")),
    _instant("made_at"),
)
wallet_draw = Table(
    "wallet_draw",
    metadata,
    *(_text(name, key=True) for name in ("tenant_id", "user_id", "currency")),
    _count("seq", key=True),
    _uuid("transfer_id"),
    _count("owed"),
    _instant("since"),
    _integer("part"),
)
wallet_part = Table(
    "wallet_part",
    metadata,
    _text("tenant_id", key=True),
    _uuid("transfer_id", key=True),
    _integer("part", key=True),
    _count("amount"),
    _json("lots"),
)
wallet_refund = Table(
    "wallet_refund",
    metadata,
    _text("tenant_id", key=True),
    _uuid("transfer_id", key=True),
    _text("refund_id", key=True),
    *(_count(name) for name in ("amount", "returned")),
    _uuid("last_id"),
)
