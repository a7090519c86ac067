"""Campaigns of before: since when they are launched, and at which version of the book they stand, is told by its changes."""

from collections.abc import Callable
from datetime import UTC, datetime

import psycopg

from fillip.migrations import migrate

CHANGES = [
    (1, "draft", "2026-01-01"),
    (2, "shadow", "2026-01-02"),
    (3, "scheduled", "2026-01-03"),
    (5, "running", "2026-01-05"),
]


def test_what_was_launched_before_says_so(make_database_at: Callable[[str], str]) -> None:
    database = make_database_at("0019")
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")  # their tenant is not asked for
        for campaign in ("old", "new"):
            owner.execute("INSERT INTO campaign VALUES ('acme', %s, 'draft', 1)", [campaign])
        change = "INSERT INTO book_change VALUES ('acme', %s, %s, %s, jsonb_build_object('state', %s::text), NULL, %s)"
        for version, state, day in CHANGES:
            owner.execute(change, [version, "campaign", "old", state, f"{day} 12:00+00"])
        owner.execute(change, [6, "limit", "old", "running", "2026-01-06 12:00+00"])
        owner.execute(change, [7, "campaign", "new", "draft", "2026-01-07 12:00+00"])
    migrate(database)
    with psycopg.connect(database) as owner:
        found = owner.execute(
            "SELECT campaign_id, launched_at, book_version FROM campaign ORDER BY campaign_id DESC"
        ).fetchall()
        assert found == [("old", datetime(2026, 1, 3, 12, tzinfo=UTC), 5), ("new", None, 7)]
        forced = "SELECT count(*) FROM pg_class WHERE relname IN ('campaign', 'book_change') AND relforcerowsecurity"
        assert owner.execute(forced).fetchone() == (2,)
