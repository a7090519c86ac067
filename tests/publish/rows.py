"""Rows as settle and manage write them."""

from collections.abc import Iterable

from fillip.core.limit import CounterKey
from fillip.publish.counters import CounterRow, CounterState

TENANT = (
    "INSERT INTO tenant (tenant_id, name, time_zone, currency, clock) VALUES (%(tenant)s, 'T', 'UTC', 'EUR', 'live')"
)

BOOK_CHANGE = """
INSERT INTO book_change (tenant_id, book_version, kind, object_id, document)
VALUES (%(tenant)s, %(version)s, 'campaign', %(object)s, %(document)s)
"""
COUNTER = """
INSERT INTO limit_counter (tenant_id, limit_id, user_id, key, window_start, used, cap, version)
VALUES (%(tenant)s, 'cap', %(user)s, 'a b', (now() AT TIME ZONE 'UTC')::date, 1, 1000, 1)
ON CONFLICT (tenant_id, limit_id, user_id, key, window_start)
DO UPDATE SET used = limit_counter.used + 1, version = limit_counter.version + 1
"""
QUEST = """
INSERT INTO quest_instance (tenant_id, campaign_id, user_id, instance_key, occurrence, campaign_version, state,
    started_at, ends_at, start_event_id, start_event_source, start_offset, steps)
VALUES (%(tenant)s, 'quest', 'ann', '', 1, 1, 'open', '2026-01-31 09:30+00', NULL, 'e1', '/till', 7,
    '[{"name": "visit", "done": 1, "needed": 3}]')
"""
QUEST_MOVES = """
UPDATE quest_instance SET steps = jsonb_set(steps, '{0,done}', '3'), state = 'completed' WHERE tenant_id = %(tenant)s
"""
REJECTION = """
INSERT INTO rejection (rejection_id, tenant_id, topic, partition, log_offset, reason, detail, original, received_at)
VALUES (gen_random_uuid(), NULL, 'event.received', 3, %(offset)s, 'undecodable', 'a "quoted"\nline', %(original)s,
    '2026-01-31 09:30:00.5+00')
"""
CHANGE = """
WITH changed AS (
    UPDATE incentive SET reversed_value = 2 WHERE tenant_id = %(tenant)s RETURNING tenant_id, incentive_id
)
SELECT tell_changes(%(change)s, array_agg(tenant_id), array_agg(incentive_id), '{2}', '{NULL}', '{NULL}') FROM changed
"""


USER = """
INSERT INTO end_user (tenant_id, user_id, attributes) VALUES (%(tenant)s, %(user)s, '{"tier": "gold"}')
"""


def grant(number: int) -> tuple[str, str]:
    """Statements for one decision and one incentive; numbers make ids, so one twice would violate a key."""
    user = f"user {number % 17} ü"
    decision = f"""
    INSERT INTO decision (tenant_id, decision_id, campaign_id, campaign_version, event_key, event_id, event_source, user_id,
        outcome, reason, occurred_at, local_day, reward_values, limits, book_version, partition, log_offset, decided_at)
    VALUES (%(tenant)s, lpad('{number}', 32, '0')::uuid, 'c', 1, lpad('{number}', 32, '0')::uuid, 'e{number}', '/till', '{user}',
        'granted', 'granted', now(),
        '2026-01-31', '[{{"kind": "points", "value": 5}}]', '[]', 1, 0, {number}, now())"""
    incentive = f"""
    INSERT INTO incentive (tenant_id, incentive_id, decision_id, campaign_id, user_id, event_id, event_source, reward_index,
        kind, value, payload, state, inbox_seq, occurred_at, received_at, taken_at, granted_at)
    VALUES (%(tenant)s, lpad('{number}', 32, '0')::uuid, lpad('{number}', 32, '0')::uuid, 'c', '{user}', 'e{number}',
        '/till', 0, 'points', 5, '{{"text": "hello \\"you\\""}}', 'granted', {number}, now(), now(), now(), now())"""
    return decision, incentive


def count(keys: Iterable[CounterKey], used: int) -> dict[CounterRow, CounterState]:
    """Counters used so often, as the WAL has them."""
    state = (b"%d" % used, b"%d" % used)
    return {
        (
            key.tenant_id.encode(),
            key.limit_id.encode(),
            key.user_id.encode(),
            key.key.encode(),
            key.window_start.isoformat().encode(),
        ): state
        for key in keys
    }
