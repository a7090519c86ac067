"""Several databases of a new server are migrated at once, one of them twice: all get there."""

import asyncio
import sys

import psycopg

from fillip.embedded.addresses import Addresses, External
from fillip.migrations import ROLES, role_dsn
from tests.conftest import OwnServers, run_sql, swap_database

MIGRATE = "import sys; from fillip.migrations import migrate; sys.stdin.readline(); migrate(sys.argv[1])"
NAMES = ("one", "one", "two", "three", "four")


async def test_they_take_turns(servers: Addresses, own_servers: OwnServers) -> None:
    others = External(valkey_url=servers.valkey_url, kafka_bootstrap=servers.kafka_bootstrap)
    dsn = own_servers(external=others).addresses.postgres_dsn
    for name in set(NAMES):
        run_sql(dsn, "CREATE DATABASE {}", name)
    pipe = asyncio.subprocess.PIPE
    running = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", MIGRATE, swap_database(dsn, name), stdin=pipe, stderr=pipe
        )
        for name in NAMES
    ]
    ends = await asyncio.gather(*[process.communicate(b"\n") for process in running])
    assert [process.returncode for process in running] == [0] * len(NAMES), [said[-300:] for _, said in ends]
    reached = set()
    for name in set(NAMES):
        with psycopg.connect(swap_database(dsn, name)) as owner:
            reached.update(owner.execute("SELECT version_num FROM alembic_version").fetchall())
    assert len(reached) == 1
    for role in ROLES:
        psycopg.connect(role_dsn(dsn, role)).close()  # its password was set
