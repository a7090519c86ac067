"""The tables of backfills, beside those of tables.py."""

from sqlalchemy import BigInteger, Column, DateTime, FetchedValue, Identity, Integer, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from fillip.manage.store.tables import metadata

_INSTANT = DateTime(timezone=True)

backfill = Table(
    "backfill",
    metadata,
    *(Column(name, Text(), primary_key=True) for name in ("tenant_id", "campaign_id")),
    *(
        Column(name, _INSTANT, nullable=False, server_default=FetchedValue())
        for name in ("from_at", "launched_at", "due_at")
    ),
    *(
        Column(name, BigInteger(), nullable=False, server_default=FetchedValue())
        for name in ("book_version", "events_done")
    ),
    *(Column(name, Integer(), nullable=False, server_default=FetchedValue()) for name in ("run", "tries")),
    *(
        Column(name, _INSTANT)
        for name in ("until_at", "begun_at", "ended_at", "held_until", "mark_received_at", "handed_over_at")
    ),
    *(Column(name, BigInteger()) for name in ("events", "mark_offset")),
    Column("mark_partition", Integer()),
    Column("state", Text(), nullable=False, server_default=FetchedValue()),
    Column("run_id", Uuid()),
    Column("ends", JSONB(none_as_null=True)),
    Column("result", JSONB(none_as_null=True), nullable=False, server_default=FetchedValue()),
    Column("error", Text()),
)

backfill_waiting = Table(
    "backfill_waiting",
    metadata,
    *(Column(name, Text(), primary_key=True) for name in ("tenant_id", "campaign_id")),
    Column("number", BigInteger(), Identity(always=True), primary_key=True),
    Column("event_key", Uuid(), nullable=False),
    Column("run", Integer(), nullable=False, server_default=FetchedValue()),
)
