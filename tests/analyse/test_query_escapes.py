"""Read-only SQL keeps to its tenant (S2 of the threats): every way out that we know is refused with a reason, twice over.

The words of the statement are checked first. That is for good messages; so each escape is also given to DuckDB itself, past
that check: what it can reach is the boundary.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from fillip.analyse.day_files.tenant_files import TenantFiles
from fillip.analyse.duckdb.bay import DuckdbBay
from fillip.analyse.query.queries import Queries, QueryRefused, QueryStopped
from fillip.analyse.query.sandbox_duckdb import COLUMNS, open_sandbox
from fillip.analyse.query.statement import StatementRefused, check_statement
from fillip.analyse.query.task import Bounds, Task
from fillip.stream.topics import Topics
from tests.analyse.bay_world import decision, event
from tests.analyse.test_day_files import ask, load, load_events

CANARY = "canary-of-rival"
SMALL = Bounds(rows=100, bytes=100_000, within_s=1, memory_mb=128)

ESCAPES = [
    # of files
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_csv_auto('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM \"/etc/passwd\"",
    "SELECT * FROM '{rival}'",
    "SELECT * FROM read_parquet('{rival}')",
    "SELECT * FROM parquet_scan('{rival}')",
    "SELECT * FROM read_parquet(['{own}', '{rival}'])",
    "SELECT * FROM read_parquet('file://{rival}')",
    "SELECT * FROM read_parquet('{own_day}/../../tenant=rival/*/*.parquet')",
    "SELECT * FROM read_parquet('{folder}/bay/events/*/*/*.parquet', hive_partitioning = true)",
    "SELECT * FROM read_parquet('{folder}/bay/**/*.parquet')",
    "SELECT * FROM read_parquet('{folder}//bay/./events/tenant=rival/day=2026-03-01/*')",
    "SELECT * FROM parquet_metadata('{rival}')",
    "SELECT * FROM parquet_schema('{rival}')",
    "SELECT * FROM parquet_kv_metadata('{rival}')",
    "SELECT * FROM parquet_file_metadata('{rival}')",
    "SELECT * FROM parquet_bloom_probe('{rival}', 'user_id', 'x')",
    "SELECT * FROM read_text('/proc/self/environ')",
    "SELECT * FROM read_blob('{rival}')",
    "SELECT * FROM read_json('{folder}/analyse.duckdb')",
    "SELECT * FROM read_json_auto('/etc/hostname')",
    "SELECT * FROM read_ndjson('/etc/hostname')",
    "SELECT * FROM glob('{folder}/**')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM read_csv('http://169.254.169.254/latest/meta-data')",
    "SELECT * FROM read_parquet('s3://bucket/rival.parquet')",
    "WITH x AS (SELECT * FROM read_text('/etc/passwd')) SELECT * FROM x",
    "SELECT (SELECT content FROM read_text('/etc/passwd'))",
    "SELECT * FROM events UNION ALL SELECT 1, 2, 3, 4, now(), now(), today(), content FROM read_text('/etc/passwd')",
    "SELECT * FROM events, LATERAL (SELECT * FROM read_text('/etc/passwd'))",
    "SELECT * FROM events WHERE EXISTS (FROM read_text('/etc/passwd'))",
    "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
    "SELECT * FROM query_table('/etc/passwd')",
    "SELECT * FROM query_table(['{rival}'])",
    "SELECT/**/*/**/FROM/**/read_text/**/('/etc/passwd')",
    "SELECT * FROM rEaD_tExT('/etc/passwd') -- SELECT 1",
    "SELECT * FROM \"read_text\"('/etc/passwd')",
    "SELECT * FROM main.read_text('/etc/passwd')",
    "SELECT * FROM system.main.read_text('/etc/passwd')",
    "SELECT * FROM read\u200b_text('/etc/passwd')",
    "SELECT\u00a0*\u00a0FROM\u00a0read_text('/etc/passwd')",
    "SELECT * FROM read_text(U&'\\002Fetc/passwd')",
    "SELECT * FROM read_text(e'\\x2fetc/passwd')",
    "SELECT * FROM read_text('/etc/' || 'passwd')",
    # of statements
    "COPY (SELECT 1) TO '{folder}/out.csv'",
    "COPY events TO '{folder}/out.parquet' (FORMAT parquet)",
    "COPY (SELECT 1) TO '{own}'",
    "COPY events FROM '/etc/passwd'",
    "EXPORT DATABASE '{folder}/out'",
    "IMPORT DATABASE '{folder}/out'",
    "ATTACH '{folder}/analyse.duckdb' AS ledger",
    "ATTACH '{folder}/analyse.duckdb' (READ_ONLY)",
    "ATTACH ':memory:' AS other",
    "ATTACH 'dbname=fillip' AS ledger (TYPE postgres)",
    "USE system",
    "INSTALL httpfs",
    "INSTALL spatial FROM community",
    "LOAD httpfs",
    "LOAD '{folder}/evil.duckdb_extension'",
    "PRAGMA database_list",
    "PRAGMA enable_external_access = true",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "SET GLOBAL allowed_paths = ['/etc/passwd']",
    "SET allowed_directories = ['/']",
    "RESET enable_external_access",
    "SET memory_limit = '100GB'",
    "SET temp_directory = '{folder}'",
    "SET log_query_path = '{folder}/log'",
    "SET home_directory = '/'",
    "SET python_enable_replacements = true",
    "CREATE SECRET s (TYPE s3, KEY_ID 'x', SECRET 'y')",
    "CREATE PERSISTENT SECRET s (TYPE s3, KEY_ID 'x', SECRET 'y')",
    "CREATE TABLE t AS SELECT 1",
    "CREATE MACRO events() AS TABLE SELECT 1",
    "DROP VIEW events",
    "DELETE FROM event_row",
    "UPDATE event_row SET id = 'x'",
    "INSERT INTO event_row SELECT * FROM event_row",
    "CALL duckdb_settings()",
    "CHECKPOINT",
    "EXPLAIN ANALYZE SELECT * FROM read_text('/etc/passwd')",
    "PREPARE p AS SELECT * FROM read_text('/etc/passwd')",
    "EXECUTE p",
    "VACUUM",
    "BEGIN",
    "SELECT 1; SELECT * FROM read_text('/etc/passwd')",
    "SELECT 1;;COPY (SELECT 1) TO '{folder}/out.csv'",
    "SELECT 1 /* ; */; ATTACH ':memory:' AS x",
    "WITH x AS (SELECT 1) INSERT INTO event_row SELECT * FROM x",
    "DESCRIBE events",
    "SUMMARIZE events",
    "SHOW TABLES",
    # of what the server knows of itself
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_databases()",
    "SELECT * FROM duckdb_views()",
    "SELECT * FROM duckdb_tables()",
    "SELECT * FROM duckdb_logs()",
    "SELECT * FROM duckdb_extensions()",
    "SELECT * FROM duckdb_temporary_files()",
    "SELECT * FROM duckdb_external_file_cache()",
    "SELECT * FROM pragma_database_list()",
    "SELECT * FROM pragma_storage_info('events')",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM pg_catalog.pg_settings",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM event_row",
    "SELECT * FROM main.decision_fact",
    "SELECT getenv('HOME')",
    "SELECT current_setting('allowed_paths')",
    "SELECT * FROM paths",
    "SELECT * FROM task",
    "SELECT * FROM which_secret('s3://x', 's3')",
]  # fmt: skip

BOMBS = [
    "SELECT count(*) FROM range(1000000000000)",
    "SELECT count(*) FROM events a, events b, range(1000000) c, range(1000000) d",
    "WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM x) SELECT count(*) FROM x",
    "WITH RECURSIVE x AS (SELECT 'a' AS n UNION ALL SELECT n || n FROM x) SELECT max(length(n)) FROM x",
    "SELECT repeat('x', 1000000000) || repeat('y', 1000000000)",
    "SELECT * FROM range(1000000000) ORDER BY hash(range)",
    "SELECT list_reduce([x FOR x IN range(100000000)], lambda a, b: a + b)",
    "SELECT count(*) FROM range(30000000) WHERE regexp_matches(repeat(range::varchar, 99), '(a*)*(b*)*(c?){30}(.*x){20}$')",
    "SELECT lpad('', 2000000000, 'x')",
    "SELECT repeat('x', 200000) AS much",
    "SELECT " + "(" * 5000 + "1" + ")" * 5000,
    "SELECT " + "- " * 9000 + "1",
    "SELECT " + " + ".join(["1"] * 6000),
]


@dataclass(frozen=True)
class Prison:
    """Two tenants' rows, in files and beside them; acme asks."""

    bay: DuckdbBay
    queries: Queries
    files: TenantFiles
    names: dict[str, str]


@pytest.fixture
async def prison(tmp_path: Path) -> AsyncIterator[Prison]:
    """With the rival's canary in every field that it can be in."""
    topics = Topics()
    async with DuckdbBay.open(tmp_path / "analyse.duckdb", topics) as bay:
        rivals = [event(f"{CANARY}{n}", tenant_id="rival", user=CANARY, note=CANARY) for n in range(2)]
        await load_events(bay, 0, event("e1"), rivals[0])
        await load(bay, topics.decided, decision(1), decision(2, tenant_id="rival", campaign_id=CANARY, user_id=CANARY))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("fillip.analyse.day_files.duckdb.MANY_ROWS", 1)
            await bay.day_files.write_out()
        await load_events(bay, 2, event("e2"), rivals[1])
        async with Queries.open(bay.day_files) as queries, bay.day_files.lend("acme") as files:
            own = files.groups["events"][0].paths[0]
            rival = next((tmp_path / "bay" / "events" / "tenant=rival").rglob("*.parquet"))
            names = {"own": own, "own_day": str(Path(own).parent), "rival": str(rival), "folder": str(tmp_path)}
            yield Prison(bay, queries, files, names)


def test_there_are_many_escapes() -> None:
    assert len(ESCAPES) >= 60


async def test_each_escape_is_refused_with_its_reason(prison: Prison) -> None:
    for escape in ESCAPES:
        sql = name_files(escape, prison)
        with pytest.raises(StatementRefused) as refused:
            check_statement(sql, frozenset(COLUMNS))
        assert str(refused.value), escape
        assert CANARY not in str(refused.value)


async def test_past_the_check_duckdb_reaches_nothing_of_another_tenant(prison: Prison, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    for escape in ESCAPES:
        sql = name_files(escape, prison)
        task = Task(sql, prison.files.groups, prison.files.struck, "json", str(prison.files.folder / "answer"), SMALL)
        with open_sandbox(task) as connection:
            try:
                told = str(connection.execute(sql).fetchall())
            except duckdb.Error as error:
                told = str(error)
            assert not [each for each in (CANARY, "root:x:", "PATH=", "localhost") if each in told], escape
            [(shut, locked)] = connection.execute(
                "SELECT current_setting('enable_external_access'), current_setting('lock_configuration')"
            ).fetchall()
            assert (shut, locked) == (False, True), escape
    assert sorted(tmp_path.rglob("*")) == before


async def test_each_bomb_is_stopped_and_others_are_answered_meanwhile(prison: Prison) -> None:
    reasons = []

    async def throw(bomb: str) -> None:
        with pytest.raises((QueryRefused, QueryStopped)) as stopped:
            async with prison.queries.answer("acme", bomb, "json", SMALL):
                pass
        reasons.append(str(stopped.value))

    async def throw_all() -> None:
        for bomb in BOMBS:
            await throw(bomb)

    throwing = asyncio.create_task(throw_all())
    answers = 0
    while not throwing.done():
        assert await count_events(prison, "rival") == 2
        answers += 1
    await throwing
    assert len(reasons) == len(BOMBS)
    assert all(reasons)
    assert answers >= 3
    assert await count_events(prison, "acme") == 2


async def count_events(prison: Prison, tenant_id: str) -> int:
    """How many events a tenant sees."""
    async with prison.queries.answer(tenant_id, "SELECT * FROM events", "json") as answer:
        assert (CANARY in answer.file.read_text()) == (tenant_id == "rival")
        return answer.outcome.row_count


def name_files(escape: str, prison: Prison) -> str:
    """The escape with the places that an attacker would have to guess."""
    for name, place in prison.names.items():
        escape = escape.replace(f"{{{name}}}", place)
    return escape


ALLOWED: list[tuple[str, Any]] = [
    ("SELECT count(*) AS n FROM events", [{"n": 2}]),
    ("WITH e AS (SELECT * FROM events) SELECT max(id) AS id FROM e;", [{"id": "e2"}]),
    ("SELECT user_id FROM events UNION SELECT user_id FROM decisions", [{"user_id": "u1"}]),
    ("SELECT unnest([1, 2]) AS n", [{"n": 1}, {"n": 2}]),
    ("SELECT sum(range) AS s FROM range(5)", [{"s": 10}]),
    ("SELECT e.id, d.campaign_id FROM events e JOIN decisions d ON d.event_id = e.id", [{"id": "e1", "campaign_id": "welcome"}]),
    ("SELECT 'read_text(''/etc/passwd'')' AS t -- COPY", [{"t": "read_text('/etc/passwd')"}]),
    ("SELECT id, row_number() OVER (ORDER BY id) AS n FROM events QUALIFY n = 1", [{"id": "e1", "n": 1}]),
    ("SELECT date_trunc('month', occurred_at)::date AS m, count(*) AS n FROM events GROUP BY ALL", [{"m": "2026-03-01", "n": 2}]),
    ("FROM events SELECT id ORDER BY id LIMIT 1", [{"id": "e1"}]),
]  # fmt: skip


async def test_what_analysts_ask_is_answered(prison: Prison) -> None:
    for sql, wanted in ALLOWED:
        assert await ask(prison.bay, sql) == [tuple(row.values()) for row in wanted], sql
