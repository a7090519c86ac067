"""Lists of before, ids in sorted parts, become bitmaps: nobody comes or goes by a migration."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from pyroaring import BitMap

import fillip.migrations
from fillip.embedded.addresses import Addresses
from fillip.migrations import migrate
from tests.conftest import NewDatabase, run_sql, swap_database


@pytest.fixture
def database_of_before(servers: Addresses, new_database: NewDatabase) -> Iterator[str]:
    """The DSN of a database at the revision before; its roles are there, as `new_database` makes them."""
    name = f"test_{uuid4().hex[:12]}"
    run_sql(servers.postgres_dsn, "CREATE DATABASE {}", name)
    dsn = swap_database(servers.postgres_dsn, name)
    config = Config()
    config.set_main_option("script_location", str(Path(fillip.migrations.__file__).parent))
    config.attributes["dsn"] = dsn
    command.upgrade(config, "0002")
    yield dsn
    run_sql(servers.postgres_dsn, "DROP DATABASE {} WITH (FORCE)", name)


def test_members_of_before_are_members_after(database_of_before: str) -> None:
    """Given two tenants with lists in parts, a former list and a cohort without any, then each has its own users."""
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
