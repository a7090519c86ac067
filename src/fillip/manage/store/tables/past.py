"""The tables of backtests and backfills."""

from sqlalchemy import BigInteger, Column, Identity

from fillip.manage.store.tables.kinds import count, instant, integer, json, key, make_table, text, uuid

backtest = make_table(
    "backtest",
    key("tenant_id"),
    uuid("backtest_id", key=True),
    text("campaign_id"),
    integer("version", "tries"),
    instant("first_at", "until_at", "asked_at"),
    text("state", "definitions", given=False),
    instant("begun_at", "ended_at", "held_until", null=True),
    uuid("run_id", null=True),
    count("events_done"),
    count("events", null=True),
    json("result", null=True),
    text("error", null=True),
)
backfill = make_table(
    "backfill",
    key("tenant_id", "campaign_id"),
    instant("from_at", "launched_at", "due_at"),
    count("book_version", "events_done"),
    integer("run", "tries"),
    instant("until_at", "begun_at", "ended_at", "held_until", "mark_received_at", "handed_over_at", null=True),
    count("events", "mark_offset", null=True),
    integer("mark_partition", null=True),
    text("state", given=False),
    uuid("run_id", null=True),
    json("ends", null=True),
    json("result"),
    text("error", null=True),
)
backfill_waiting = make_table(
    "backfill_waiting",
    key("tenant_id", "campaign_id"),
    [Column("number", BigInteger, Identity(always=True), primary_key=True)],
    uuid("event_key"),
    integer("run"),
)
