"""What a user has ended is read by the user's own rows, from quest to quest, though nothing was analysed yet."""

from itertools import pairwise
from pathlib import Path

import psycopg
import pytest

import fillip.manage.eligibility
from fillip.migrations import role_dsn

STATEMENT = Path(fillip.manage.eligibility.__file__).with_name("read_user.sql").read_text(encoding="utf-8")
ROWS = """
INSERT INTO quest_instance (tenant_id, campaign_id, user_id, instance_key, occurrence, campaign_version, state, started_at, start_event_key,
                            start_offset, steps)
SELECT 'acme', 'c' || n % 20, 'u' || n / 60, '', n / 20 + 1, 1, 'completed', now(), gen_random_uuid(), 1, '[]' FROM generate_series(1, 30000) n;
"""


@pytest.mark.parametrize("analysed", [False, True])
def test_what_ended_is_read_by_the_users_own_rows(database: str, *, analysed: bool) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute(ROWS)
        if analysed:
            owner.execute("ANALYZE quest_instance")
    with psycopg.connect(role_dsn(database, "fillip_api"), autocommit=True) as connection:
        connection.execute("SELECT set_config('app.tenant', 'acme', false)")
        found = connection.pgconn.exec_(b"EXPLAIN (GENERIC_PLAN, COSTS OFF) " + STATEMENT.encode())
        plan = [(found.get_value(row, 0) or b"").decode().strip() for row in range(found.ntuples)]
    by_user = "Index Cond: ((tenant_id = $1) AND (user_id = $2)"
    assert [found for scan, found in pairwise(plan) if " on quest_instance " in scan] == [
        f"{by_user})",  # the first quest
        f"{by_user} AND (campaign_id > quest.campaign_id))",  # the next
        f"{by_user})",  # open instances, from the newest on
        f"{by_user} AND (campaign_id = quest_1.campaign_id) AND (instance_key = ''::text))",  # the newest of a quest
    ]
    assert not [line for line in plan if line.startswith("Sort")]
