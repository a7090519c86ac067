"""Backfills and backtests of before: workers go on with what they decided, and old results are to be asked for again."""

from collections.abc import Callable

import psycopg

from fillip.migrations import migrate

TENANT = "INSERT INTO tenant (tenant_id, name, time_zone, currency, clock) VALUES ('acme', 'T', 'UTC', 'USD', 'live')"
BACKFILL = """
INSERT INTO backfill (tenant_id, campaign_id, from_at, book_version, launched_at, state)
VALUES ('acme', 'visits', '2026-01-01', 3, '2026-03-01 12:00+00', 'done')
"""
BACKTEST = """
INSERT INTO backtest (tenant_id, campaign_id, version, first_at, until_at, state, result)
VALUES ('acme', 'visits', 1, '2026-01-01', '2026-02-01', %s, %s)
"""


def test_what_was_launched_before_is_with_the_workers_and_old_results_are_told_as_such(
    make_database_at: Callable[[str], str],
) -> None:
    database = make_database_at("0017")
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(TENANT)
        owner.execute("SET session_replication_role = replica")  # their campaign is not asked for
        owner.execute(BACKFILL)
        owner.execute(BACKTEST, ["done", '{"granted": 1}'])
        owner.execute(BACKTEST, ["waiting", None])
    migrate(database)
    with psycopg.connect(database) as owner:
        assert owner.execute("SELECT handed_over_at = launched_at FROM backfill").fetchall() == [(True,)]
        states = owner.execute("SELECT state, error FROM backtest ORDER BY state").fetchall()
        assert states == [
            ("failed", "this result was of an earlier version of Fillip: ask for it again"),
            ("waiting", None),
        ]
        forced = "SELECT count(*) FROM pg_class WHERE relname IN ('backfill', 'backtest') AND relforcerowsecurity"
        assert owner.execute(forced).fetchone() == (2,)
