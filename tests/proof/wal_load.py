"""Rows as settle writes them, many a second, from several connections at once, until told to stop."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.publish.conftest import Site

WRITERS, A_COMMIT, PAUSE_S = 3, 20, 0.05
DECIDE = """
INSERT INTO decision (tenant_id, decision_id, campaign_id, campaign_version, event_key, event_id, event_source, user_id,
    outcome, reason, occurred_at, local_day, reward_values, limits, book_version, partition, log_offset, decided_at)
SELECT %(tenant)s, lpad(n::text, 32, '0')::uuid, 'c' || n %% 3, 1, lpad(n::text, 32, '0')::uuid, 'e' || n, '/till',
    'user ' || n %% 50, CASE n %% 4 WHEN 0 THEN 'denied' ELSE 'granted' END, CASE n %% 4 WHEN 0 THEN 'limit' ELSE 'granted' END,
    now(), '2026-01-31', '[{"kind": "points", "value": 5}]', '[]', 1, 0, n, now()
FROM generate_series(%(first)s::bigint, %(last)s::bigint) n
"""
GRANT = """
INSERT INTO incentive (tenant_id, incentive_id, decision_id, campaign_id, user_id, event_id, event_source, reward_index,
    kind, value, payload, state, inbox_seq, occurred_at, received_at, taken_at, granted_at)
SELECT %(tenant)s, decision_id, decision_id, campaign_id, user_id, event_id, event_source, 0, 'cashback', 5 + log_offset %% 7,
    '{"text": "hello"}', 'granted', log_offset, now(), now(), now(), now()
FROM decision WHERE tenant_id = %(tenant)s AND log_offset BETWEEN %(first)s AND %(last)s AND outcome = 'granted'
"""
TAKE = """
INSERT INTO incentive_change (tenant_id, user_id, inbox_seq, incentive_id, decision_id, campaign_id, event_id, event_source,
    kind, value, granted_at, change, changed_value, reversed_value, reason)
SELECT tenant_id, user_id, inbox_seq + 1000000000, incentive_id, decision_id, campaign_id, event_id, event_source, kind, value,
    granted_at, 'reversed', 2, 2, 'sent back'
FROM incentive WHERE tenant_id = %(tenant)s AND inbox_seq BETWEEN %(first)s AND %(last)s AND inbox_seq %% 5 = 0
"""
MOVE = """
INSERT INTO wallet_transfer (tenant_id, transfer_id, user_id, currency, seq, kind, debit, credit, amount, lots, source_id,
    pending_after, active_after, made_at, expiries)
SELECT %(tenant)s, lpad(n::text, 32, '0')::uuid, 'user ' || n %% 50, 'POINTS', n, 'grant', 'issued', 'active', 1 + n %% 9,
    jsonb_build_object(md5(n::text), 1 + n %% 9), n::text, 0, 5, now(), CASE WHEN n %% 3 > 0 THEN ARRAY[now() + n %% 400 * interval '1 day'] END
FROM generate_series(%(first)s::bigint, %(last)s::bigint) n
"""
DRAW = """
INSERT INTO wallet_part (tenant_id, currency, transfer_id, part, amount, lots, expiries, made_at)
SELECT %(tenant)s, 'POINTS', lpad(n::text, 32, '0')::uuid, 1, 3, '{"a": -1, "b": -2}', ARRAY[NULL, now() + n %% 400 * interval '1 day'], now()
FROM generate_series(%(first)s::bigint, %(last)s::bigint) n WHERE n %% 5 = 0
"""
REJECT = """
INSERT INTO rejection (rejection_id, tenant_id, topic, partition, log_offset, reason, detail, original, received_at)
SELECT lpad(n::text, 32, '0')::uuid, %(tenant)s, 'event.received', 0, n, 'unknown_action', 'told', '\\x7b7d', now()
FROM generate_series(%(first)s::bigint, %(last)s::bigint) n WHERE n %% 3 = 0
"""
COUNT = """
INSERT INTO limit_counter (tenant_id, limit_id, user_id, key, window_start, used, cap, version)
SELECT %(tenant)s, 'cap', 'user ' || %(writer)s || '-' || n %% 30, '', (now() AT TIME ZONE 'UTC')::date, 1, 1000000000, 1
FROM generate_series(%(first)s::bigint, %(first)s::bigint + 5) n
ON CONFLICT (tenant_id, limit_id, user_id, key, window_start)
DO UPDATE SET used = limit_counter.used + 1, version = limit_counter.version + 1
"""


@contextmanager
def write_rows(site: Site) -> Iterator[None]:
    """Rows are committed meanwhile, in transactions that overlap; raises what a writer has met."""
    over, failed = threading.Event(), list[BaseException]()
    writers = [threading.Thread(target=_write, args=(site, number, over, failed)) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    try:
        yield
    finally:
        over.set()
        for writer in writers:
            writer.join()
    if failed:
        raise failed[0]


def _write(site: Site, writer: int, over: threading.Event, failed: list[BaseException]) -> None:
    first = writer * 100_000_000 + time.time_ns() // 1_000_000 % 10_000_000 * 10  # another load goes on behind it
    try:
        with psycopg.connect(site.owner_dsn) as connection:
            while not over.wait(PAUSE_S):
                given = {"tenant": site.tenant, "writer": writer, "first": first, "last": first + A_COMMIT - 1}
                for statement in (DECIDE, GRANT, TAKE, MOVE, DRAW, REJECT, COUNT):
                    connection.execute(statement, given)
                connection.commit()
                first += A_COMMIT
    except BaseException as error:
        failed.append(error)
