"""Rows of the ledger as the worker writes them, put in by the owner."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import psycopg

from fillip.core.identity import identify_event

SOURCE = "/till"
OCCURRED_AT = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
NAMESPACE = UUID("6f1c1f6e-4f0a-4d2e-9b7c-0242ac120002")


def put_event(
    dsn: str,
    event_id: str,
    attributes: dict[str, Any],
    user_id: str = "ada",
    received_at: datetime = OCCURRED_AT,
    *,
    source: str = SOURCE,
) -> None:
    """Record an event of PURCHASE."""
    with psycopg.connect(dsn) as owner:
        owner.execute(
            "INSERT INTO event_met VALUES ('acme', %s, %s, %s, '\\x00', %s, 'PURCHASE', %s, %s, %s, 0, 7)",
            [*_name(event_id, source), user_id, OCCURRED_AT, received_at, json.dumps(attributes)],
        )


def put_decision(dsn: str, event_id: str, campaign_id: str = "c", *, source: str = SOURCE, **parts: Any) -> UUID:
    """Record a decision under the current book; `parts` replace its columns."""
    decision_id = uuid5(NAMESPACE, f"{campaign_id}/{source}/{event_id}")
    row = {
        "campaign_version": 1,
        "user_id": "ada",
        "instance": "",
        "outcome": "granted",
        "reason": "granted",
        "outranked_by": None,
        "reward_values": '[{"kind": "cashback", "value": 100, "currency": "EUR"}]',
        "limits": "[]",
        "user_attributes": '{"tier": "gold"}',
        "cohorts": "{}",
        "user_revision": None,
        "variant": None,
    } | {name: json.dumps(value) if isinstance(value, list | dict) else value for name, value in parts.items()}
    with psycopg.connect(dsn) as owner:
        version = (owner.execute("SELECT book_version FROM tenant WHERE tenant_id = 'acme'").fetchone() or (0,))[0]
        owner.execute(
            "INSERT INTO decision (tenant_id, decision_id, campaign_id, event_key, event_id, event_source, occurred_at, local_day,"
            " book_version, partition, log_offset, decided_at, campaign_version, user_id, instance, outcome, reason, outranked_by, reward_values,"
            " limits, user_attributes, cohorts, user_revision, variant)"
            " VALUES ('acme', %s, %s, %s, %s, %s, %s, %s, %s, 0, 7, now(), %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                decision_id,
                campaign_id,
                *_name(event_id, source),
                OCCURRED_AT,
                OCCURRED_AT.date(),
                version,
                *row.values(),
            ],
        )
    return decision_id


def put_incentive(
    dsn: str, decision_id: UUID, event_id: str, seq: int, user_id: str = "ada", variant: str | None = None
) -> UUID:
    """Record an incentive and its inbox message."""
    incentive_id = uuid5(NAMESPACE, f"{decision_id}/{seq}")
    with psycopg.connect(dsn) as owner:
        owner.execute(
            "INSERT INTO incentive (tenant_id, incentive_id, decision_id, campaign_id, user_id, event_id, event_source,"
            " reward_index, kind, value, currency, state, inbox_seq, occurred_at, received_at, taken_at, granted_at, variant)"
            " VALUES ('acme', %s, %s, 'c', %s, %s, %s, 0, 'cashback', 100, 'EUR', 'granted', %s, %s, %s, now(), now(), %s)",
            [incentive_id, decision_id, user_id, event_id, SOURCE, seq, OCCURRED_AT, OCCURRED_AT, variant],
        )
        owner.execute("INSERT INTO inbox VALUES ('acme', %s, %s, %s)", [user_id, seq, incentive_id])
    return incentive_id


def put_reversal(
    dsn: str,
    reversal_id: str,
    event_id: str,
    state: str = "applied",
    user_id: str = "ada",
    *,
    source: str = "fillip",
    **part: int,
) -> str:
    """Record a reversal that took nothing."""
    request = {"event_id": event_id, "event_source": SOURCE} | part
    with psycopg.connect(dsn) as owner:
        owner.execute(
            "INSERT INTO reversal (tenant_id, reversal_key, reversal_id, reversal_source, event_key, event_id, event_source,"
            " user_id, request, state, reason, incentives, counters, quests, share, occurred_at, received_at, decided_at)"
            " VALUES ('acme', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, '[]', '[]', '[]', CASE WHEN %s = 'applied' THEN '1' END, now(), now(),"
            " CASE WHEN %s <> 'waiting' THEN now() END)",
            [*_name(reversal_id, source), *_name(event_id, SOURCE), user_id, json.dumps(request), *[state] * 4],
        )
    return reversal_id


def put_counter(dsn: str, limit_id: str, user_id: str, key: str, used: int, window_start: str = "1970-01-01") -> None:
    """Record the use of a limit, for its lifetime unless said."""
    with psycopg.connect(dsn) as owner:
        owner.execute(
            "INSERT INTO limit_counter VALUES ('acme', %s, %s, %s, %s, %s, 1000, %s)",
            [limit_id, user_id, key, window_start, used, used],
        )


def put_instance(
    dsn: str,
    campaign_id: str,
    state: str,
    done: int,
    needed: int = 3,
    started_at: datetime = OCCURRED_AT,
    *,
    user_id: str = "ada",
    campaign_version: int = 1,
    key: str = "",
    met_at: datetime | None = None,
) -> None:
    """Record a user's first instance of a quest of one step, `visit`."""
    steps = json.dumps(
        [{"name": "visit", "done": done, "needed": needed, "met_at": met_at.isoformat() if met_at else None}]
    )
    with psycopg.connect(dsn) as owner:
        owner.execute(
            "INSERT INTO quest_instance VALUES"
            " ('acme', %s, %s, %s, 1, %s, %s, %s, %s + interval '7 days', %s, %s, %s, 0, %s)",
            [campaign_id, user_id, key, campaign_version, state, started_at, started_at, *_name("e1", SOURCE), steps],
        )


def _name(event_id: str, source: str) -> tuple[UUID, str, str]:
    return identify_event("acme", source, event_id), event_id, source
