"""What came of an event is looked up by its own rows, however many a tenant has, and though nothing was analysed yet."""

from itertools import pairwise

import psycopg

from fillip.ingest.answer import postgres
from fillip.migrations import role_dsn

ROWS = """
INSERT INTO decision (tenant_id, decision_id, campaign_id, campaign_version, event_key, event_id, event_source, user_id, outcome, reason,
                      occurred_at, local_day, reward_values, limits, book_version, partition, log_offset, decided_at)
SELECT 'acme', gen_random_uuid(), 'c', 1, gen_random_uuid(), 'e' || n, 's', 'u' || n % 100, 'granted', 'granted', now(), current_date,
       '[]', '[]', 1, 0, n, now() FROM generate_series(1, 3000) n;
INSERT INTO wallet_transfer SELECT 'acme', gen_random_uuid(), 'u' || n, 'POINTS', 1, 'grant', 'issued', 'active', 1, '{}', 'x', NULL, 0, 1, now()
FROM generate_series(1, 3000) n;
INSERT INTO quest_instance (tenant_id, campaign_id, user_id, instance_key, occurrence, campaign_version, state, started_at, start_event_key,
                            start_offset, steps)
SELECT 'acme', 'c', 'u' || n, '', 1, 1, 'open', now(), gen_random_uuid(), 1, '[]' FROM generate_series(1, 3000) n;
"""


def test_no_plan_walks_over_a_tenants_rows(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")
        owner.pgconn.exec_(ROWS.encode())
    with psycopg.connect(role_dsn(database, "fillip_worker"), autocommit=True) as connection:
        plans = []
        for name in ("read_outcomes", "read_given", "read_progress"):
            found = connection.pgconn.exec_(b"EXPLAIN (GENERIC_PLAN, COSTS OFF) " + postgres.SQL[name].encode())
            plans += [(found.get_value(row, 0) or b"").decode().strip() for row in range(found.ntuples)]
    walks = [
        scan for scan, line in pairwise(plans) if line.startswith("Index Cond: (tenant_id =") and " AND " not in line
    ]
    assert [scan for scan in walks if "backfill b" not in scan] == []  # a tenant has few
    assert any("decision_by_event on decision" in line for line in plans)
