"""Cohorts of before: lists of ids in sorted parts become bitmaps, and nobody comes or goes; each is of its kind."""

from collections.abc import Callable
from uuid import uuid4

import psycopg
from pyroaring import BitMap

from fillip.migrations import migrate


def test_members_of_before_are_members_after(make_database_at: Callable[[str], str]) -> None:
    """Given two tenants with lists in parts, a former list and a cohort without any, then each has its own users."""
    database_of_before = make_database_at("0002")
    listed = {("acme", "vip"): {"ada", "Ärger", "linus"}, ("acme", "other"): {"ada", "x y"}, ("rival", "vip"): {"ada"}}
    with psycopg.connect(database_of_before, autocommit=True) as owner:
        for tenant_id in ("acme", "rival"):
            owner.execute(
                "INSERT INTO tenant (tenant_id, name, time_zone, currency, clock) VALUES (%s, 'T', 'UTC', 'USD', 'live')",
                [tenant_id],
            )
        for (tenant_id, cohort_id), users in listed.items():
            former, content_id = uuid4(), uuid4()
            for each, parts in ((former, [{"gone"}]), (content_id, [{user} for user in users])):
                owner.execute("INSERT INTO cohort_content (tenant_id, content_id) VALUES (%s, %s)", [tenant_id, each])
                for part in parts:
                    row = [tenant_id, each, min(part), "\n".join(sorted(part))]
                    owner.execute("INSERT INTO cohort_part VALUES (%s, %s, %s, %s)", row)
            owner.execute(
                "INSERT INTO cohort (tenant_id, cohort_id, name, version, content_id, size) VALUES (%s, %s, 'C', 3, %s, %s)",
                [tenant_id, cohort_id, content_id, len(users)],
            )
        owner.execute("INSERT INTO cohort (tenant_id, cohort_id, name) VALUES ('acme', 'new', 'N')")
    migrate(database_of_before)
    with psycopg.connect(database_of_before) as owner:
        names = {(t, n): u for t, u, n in owner.execute("SELECT tenant_id, user_id, number FROM user_number")}
        found: dict[tuple[str, str], set[str]] = {}
        rows = owner.execute(
            "SELECT c.tenant_id, cohort_id, k.version, members FROM cohort c"
            " JOIN cohort_chunk k ON (k.tenant_id, k.content_id) = (c.tenant_id, c.content_id)"
        )
        for tenant_id, cohort_id, version, members in rows:
            assert version == 3
            found[tenant_id, cohort_id] = {names[tenant_id, number] for number in BitMap.deserialize(members)}
        assert found == listed
        numbered = owner.execute("SELECT tenant_id, numbered FROM user_numbering ORDER BY 1").fetchall()
        assert numbered == [("acme", 4), ("rival", 1)]
        assert sorted(names) == [("acme", n) for n in range(4)] + [("rival", 0)]


def test_cohorts_that_follow_from_others_are_of_their_kind(make_database_at: Callable[[str], str]) -> None:
    """Given a cohort with a list and one with a combination, when kinds come, then the one is uploaded, the other combined."""
    database = make_database_at("0007")
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(
            "INSERT INTO tenant (tenant_id, name, time_zone, currency, clock) VALUES ('acme', 'T', 'UTC', 'USD', 'live')"
        )
        for name, combination in (("vip", None), ("reachable", '{"any_of": ["vip"]}')):
            row = [name, combination]
            owner.execute(
                "INSERT INTO cohort (tenant_id, cohort_id, name, combination) VALUES ('acme', %s, 'C', %s)", row
            )
    migrate(database)
    with psycopg.connect(database) as owner:
        kinds = owner.execute("SELECT cohort_id, kind FROM cohort ORDER BY 1").fetchall()
    assert kinds == [("reachable", "combined"), ("vip", "uploaded")]
