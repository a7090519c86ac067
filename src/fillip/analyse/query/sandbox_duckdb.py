"""Runs one SELECT of a tenant, in a process of its own that `analyse/query/forks_duckdb.py` forks.

It reads one Task from stdin, as JSON, and writes one Outcome to stdout. DuckDB is empty and in memory; it can reach the
tenant's files and write the answer's, and nothing else: that is the boundary. The kernel bounds memory, time and the size
of what is written.
"""

import gc
import os
import re
import resource
import sys
from pathlib import Path

import duckdb
from msgspec import MsgspecError, json

from fillip.analyse.day_files.tenant_files import KINDS, FileGroup
from fillip.analyse.query.statement import StatementRefused, check_statement
from fillip.analyse.query.task import Column, Outcome, Task

SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "threads": "1",
    "temp_directory": "",
    "python_enable_replacements": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_persistent_secrets": "false",
    "max_expression_depth": "250",
}
COLUMNS = {
    "events": "source, id, user_id, action, occurred_at, received_at, day, data::json AS data",
    "decisions": "decision_id, campaign_id, campaign_version, event_id, event_source, user_id, instance, outcome, reason,"
    " outranked_by, occurred_at, decided_at, day, rewards",
    "incentives": "incentive_id, decision_id, campaign_id, event_id, event_source, user_id, kind, value, currency,"
    " occurred_at, granted_at, expires_at, day",
    "incentive_reversals": "incentive_id, decision_id, campaign_id, user_id, kind, value, currency, reason, changed_at, day",
    "rejections": "rejection_id, reason, detail, event_id, event_source, received_at, day",
}
"""Of each view, in the order of a `SELECT *`."""
PLACED = COLUMNS | {"events": f"{COLUMNS['events']}, partition, log_offset"}
"""The same for a history: where an event stands in the log is nothing that an analyst could use."""
SCHEMA = (Path(__file__).parents[1] / "duckdb" / "schema.sql").read_text(encoding="utf-8")
_JSON = "FORMAT json, TIMESTAMPFORMAT '%Y-%m-%dT%H:%M:%S.%fZ'"
OPTIONS = {
    "json": f"{_JSON}, ARRAY true",
    "users": "FORMAT csv, HEADER true",
    "history": f"{_JSON}, ARRAY false",
    "csv": "FORMAT csv, HEADER true",
    "parquet": "FORMAT parquet, COMPRESSION zstd",
}
"""How each form of an answer is written."""
PROCESS_MB = 1_536
"""Of addresses that the process may have beside DuckDB's memory: its code and libraries."""
LONGEST_MESSAGE = 1_000
NICE = 10
ASKED = "asked"
MAX_USER_BYTES = 256
_PLACE = re.compile(r"^LINE (\d+): (.*)\n( *)\^", re.MULTILINE)
_FORMULA = "CASE WHEN regexp_matches({0}, '^[=+@\\t\\r-]') THEN '''' || {0} ELSE {0} END AS {0}"
"""A text that a spreadsheet would run as a formula has a ' before it."""


def main() -> None:
    """Answer one task."""
    task = json.decode(sys.stdin.buffer.read(), type=Task)
    limit_process(task)
    try:
        outcome = run(task)
    except StatementRefused as error:
        outcome = Outcome(refused=str(error)[:LONGEST_MESSAGE], at=error.at)
    except (duckdb.OutOfMemoryException, MemoryError):
        outcome = Outcome(refused=f"needs more than {task.bounds.memory_mb} MB of memory", stopped=True)
    except duckdb.IOException as error:
        if "too large" not in str(error):
            raise
        outcome = Outcome(refused=f"the answer is larger than {task.bounds.bytes} bytes", stopped=True)
    except duckdb.Error as error:
        outcome = describe_error(str(error), task)
    sys.stdout.buffer.write(json.encode(outcome))


def limit_process(task: Task) -> None:
    """Ask the kernel to hold this process to its bounds."""
    space = (task.bounds.memory_mb + PROCESS_MB) * 1024 * 1024
    for what, most in (
        (resource.RLIMIT_AS, space),
        (resource.RLIMIT_CPU, task.bounds.within_s + 5),
        (resource.RLIMIT_FSIZE, task.bounds.bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    os.nice(NICE)
    gc.disable()


def run(task: Task) -> Outcome:
    """Run it. Raises StatementRefused, duckdb.Error."""
    if task.form == "history":
        return read_history(task)
    check_statement(task.sql, frozenset(COLUMNS) | task.given.keys())
    connection = open_sandbox(task)
    statements = connection.extract_statements(task.sql)
    if [each.type for each in statements] != [duckdb.StatementType.SELECT]:
        raise StatementRefused("send one SELECT (perhaps with WITH before it)")
    connection.execute(f"CREATE TEMP VIEW {ASKED} AS\n{task.sql}")  # alone on its lines: errors name their place
    rows = connection.view(ASKED)
    columns = [Column(name, str(kind)) for name, kind in zip(rows.columns, rows.types, strict=True)]
    if task.form in ("users", "nothing"):
        if [column.type for column in columns] != ["VARCHAR"]:
            raise StatementRefused("select one column of users: a text, such as user_id")
        name = quote_name(columns[0].name)
        rows = rows.filter(f"{name} IS NOT NULL").project(f"{name} AS user_id").distinct()
        if task.form == "nothing":
            return Outcome(columns)
    rows.limit(task.bounds.rows + 1).create("answer")
    [(row_count,)] = connection.execute("SELECT count(*) FROM answer").fetchall()
    if row_count > task.bounds.rows:
        told = f"more than {task.bounds.rows} rows: group them, or add LIMIT"
        return Outcome(refused=told, stopped=True)
    if task.form == "users":
        check_users(connection)
    write_answer(connection, task, columns)
    return Outcome(columns, row_count)


def read_history(task: Task) -> Outcome:
    """Run a SELECT of ours, with parameters. Raises duckdb.Error."""
    connection = open_sandbox(task)
    connection.sql(task.sql, params=dict(task.parameters)).create("answer")
    rows = connection.table("answer")
    columns = [Column(name, str(kind)) for name, kind in zip(rows.columns, rows.types, strict=True)]
    write_answer(connection, task, columns)
    return Outcome(columns, len(rows))


def open_sandbox(task: Task) -> duckdb.DuckDBPyConnection:
    """DuckDB with the tenant's views, shut for everything else."""
    connection = duckdb.connect(":memory:", config=SETTINGS | {"memory_limit": f"{task.bounds.memory_mb}MB"})
    paths = [path for groups in task.groups.values() for group in groups for path in group.paths]
    reached = [*paths, *task.given.values(), task.answer, *([task.struck] if task.struck else [])]
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET allowed_paths = $1", [reached])
    connection.execute("SET enable_external_access = false")
    connection.execute(SCHEMA)
    for kind, table in KINDS.items():
        rows = connection.table(table).project("* EXCLUDE (tenant_id, loaded_at)")
        for group in task.groups[kind]:
            rows = rows.union(read_group(connection, group))
        if kind == "events" and task.struck:
            struck = connection.read_parquet(task.struck)
            rows = rows.join(struck, "partition, log_offset, received_at", how="anti")
        rows.project((PLACED if task.form == "history" else COLUMNS)[kind]).create_view(kind)
    for name, file in task.given.items():
        connection.read_parquet(file).create_view(name)
    connection.execute("SET lock_configuration = true")
    return connection


def read_group(connection: duckdb.DuckDBPyConnection, group: FileGroup) -> duckdb.DuckDBPyRelation:
    """The rows of the files that count."""
    rows = connection.from_parquet(list(group.paths), hive_partitioning=False)
    return rows.filter(f"partition NOT IN ({', '.join(map(str, group.void))})") if group.void else rows


def check_users(connection: duckdb.DuckDBPyConnection) -> None:
    """Raise StatementRefused where a text in table `answer` can't be the id of a user."""
    wrong = connection.table("answer").filter(f"strlen(user_id) NOT BETWEEN 1 AND {MAX_USER_BYTES}")
    for (text,) in wrong.limit(1).project("left(user_id, 40)").fetchall():
        raise StatementRefused(f"{text!r} is no user's id: from 1 to {MAX_USER_BYTES} bytes in UTF-8")


def write_answer(connection: duckdb.DuckDBPyConnection, task: Task, columns: list[Column]) -> None:
    """Write table `answer` to its file."""
    chosen = {"csv": shield, "json": make_finite}.get(task.form)
    fields = ", ".join(map(chosen, columns)) if chosen else "*"
    connection.table("answer").project(fields).create_view("written")
    connection.execute(f"COPY (FROM written) TO $1 ({OPTIONS[task.form]}, USE_TMP_FILE false)", [task.answer])
    if task.form == "json":
        check_json(task.answer)


def shield(column: Column) -> str:
    """The column as a spreadsheet may read it."""
    name = quote_name(column.name)
    return _FORMULA.format(name) if column.type == "VARCHAR" else name


def make_finite(column: Column) -> str:
    """The column as JSON can hold it: NaN and infinity become null."""
    name = quote_name(column.name)
    return f"CASE WHEN isfinite({name}) THEN {name} END AS {name}" if column.type in ("DOUBLE", "FLOAT") else name


def check_json(path: str) -> None:
    """Raise StatementRefused where a value within another is none that JSON has."""
    try:
        json.decode(Path(path).read_bytes(), type=list)
    except (MsgspecError, UnicodeDecodeError):
        raise StatementRefused("a list or struct holds NaN or infinity, which JSON has not: ask for Parquet") from None


def quote_name(name: str) -> str:
    """The name of a column as SQL writes it."""
    quoted = name.replace('"', '""')
    return f'"{quoted}"'


def describe_error(message: str, task: Task) -> Outcome:
    """What DuckDB says, without the places of files."""
    found = _PLACE.search(message)
    at = f"{int(found[1]) - 1}:{max(1, len(found[3]) - len(f'LINE {found[1]}: ') + 1)}" if found else None
    said = re.sub(r"(/[^\s\"']*)+/", "", message.partition("\n\nLINE ")[0])
    return Outcome(refused=said[:LONGEST_MESSAGE], at=at)
