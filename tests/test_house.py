"""The budgets of the house: a ratchet, they may only get better."""

import ast
import re
import statistics
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
SOURCES = [p for p in (ROOT / "src").rglob("*.py") if "checked_pb2" not in p.name]
FORBIDDEN_NAMES = {"utils", "common", "helpers", "services", "models", "shared", "misc"}
OLD_WORDS = re.compile(
    "Appraisal|Asked|AWAY|Cast|Checked|Deck|Desk|Door|Entry|Flights|Given|Going|Harvest|Held|Hold|Meeting|Moved"
    "|NoWorth|Opening|PASSING|Past|Piece|Quests|Recent|Reverse|Role|Room|Scene|Shapes|Situation|Taken|Touch|Undone|Wanted"
    "|Work|appraise|catalogue|contest|doubles|earning|flights|harvest|holdings|imagine|lookup|meeting|nominate"
    "|nomination|quest_story|questing|recall|recheck|rivals|roles|rosters|saving|scene|shapes|situations|spending|touches"
    "|undoing"
)
"""Of the vocabulary that docs/glossary.md replaced: no name in src is one of them."""
SQL_ELSEWHERE = {"manage/request/problems.py"}
"""Files that import sqlalchemy although no postgres file: this one answers its errors."""
OVERRIDING_FIXTURES = {"stack": "live's, overridden by the tests of another log and of secure servers"}


def read_function_lengths(path: Path) -> dict[str, int]:
    """Name → lines of the body, docstring left out."""
    lengths = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, FUNCTION):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lengths[f"{path}:{node.name}"] = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
    return lengths


def list_wide_splats(path: Path) -> list[str]:
    """Calls that spread a tuple of more than three values over parameters that it does not name.

    The arguments of an SQL function have no names.
    """
    found = []
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, FUNCTION):
            nodes = list(ast.walk(function))
            assigned = [node for node in nodes if isinstance(node, ast.Assign) and is_wide(node.value)]
            names = {ast.unparse(target) for node in assigned for target in node.targets}
            for call in (node for node in nodes if isinstance(node, ast.Call)):
                spread = [each.value for each in call.args if isinstance(each, ast.Starred)]
                if any(ast.unparse(each) in names or is_wide(each) for each in spread):
                    found += [] if ast.unparse(call.func).startswith("func.") else [f"{path.name}:{call.lineno}"]
    return found


def is_wide(node: ast.expr) -> bool:
    """Whether it is a tuple of more than three single values."""
    return isinstance(node, ast.Tuple) and sum(not isinstance(each, ast.Starred) for each in node.elts) > 3


def test_no_call_spreads_a_tuple_of_more_than_three_values():
    assert [splat for path in SOURCES for splat in list_wide_splats(path)] == []


def test_files_are_short():
    lengths = {str(p): len(p.read_text().splitlines()) for p in SOURCES}
    assert {p: n for p, n in lengths.items() if n > 400} == {}
    assert statistics.median(lengths.values()) <= 120


def test_functions_are_short():
    lengths = {name: n for path in SOURCES for name, n in read_function_lengths(path).items()}
    assert {name: n for name, n in lengths.items() if n > 60} == {}
    assert statistics.median(lengths.values()) <= 8
    assert statistics.quantiles(lengths.values(), n=20)[-1] <= 40


def test_no_room_is_a_junk_drawer():
    assert [p for p in SOURCES if p.stem in FORBIDDEN_NAMES or p.parent.name in FORBIDDEN_NAMES] == []


def test_there_are_no_mocks():
    mocks = re.compile(r"^\s*(from|import) (unittest\.mock|mock|pytest_mock)\b", re.MULTILINE)
    found = [p for p in (ROOT / "tests").rglob("*.py") if p != Path(__file__) and mocks.search(p.read_text())]
    assert found == []


def test_drivers_stand_in_files_named_after_them():
    drivers = {"confluent_kafka": "kafka", "redis": "valkey", "duckdb": "duckdb", "clickhouse_connect": "clickhouse"}
    drivers |= dict.fromkeys(("asyncpg", "psycopg", "sqlalchemy"), "postgres")
    elsewhere = set()
    for path in SOURCES:
        if {"app", "migrations"} & set(path.parts):
            continue
        for driver, name in drivers.items():
            imports = re.search(rf"^\s*(from|import) {driver}\b", path.read_text(), re.MULTILINE)
            named = name in path.stem or name in path.parent.name or (driver == "sqlalchemy" and "store" in path.parts)
            if imports and not named:
                elsewhere.add(path.relative_to(ROOT / "src" / "fillip").as_posix())
    assert elsewhere == SQL_ELSEWHERE


def list_names(path: Path) -> set[str]:
    """The name of the file and every name in it that code can be called by."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    return {path.stem} | {
        name
        for node in nodes
        for kind in ("id", "attr", "name", "arg", "asname")
        if (name := getattr(node, kind, None))
    }


def test_the_old_vocabulary_is_gone():
    assert {str(path): old for path in SOURCES if (old := {*filter(OLD_WORDS.fullmatch, list_names(path))})} == {}


def list_fixtures(path: Path) -> set[str]:
    """The fixtures that a file of tests defines."""
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, FUNCTION)]
    return {f.name for f in functions if any("pytest.fixture" in ast.unparse(each) for each in f.decorator_list)}


def test_a_fixture_has_a_name_of_its_own():
    counts = Counter(name for path in (ROOT / "tests").rglob("*.py") for name in list_fixtures(path))
    assert {name for name, count in counts.items() if count > 1} == OVERRIDING_FIXTURES.keys()


def test_tests_import_each_other_by_one_name():
    for path in (ROOT / "tests").rglob("*.py"):
        assert (path.parent / "__init__.py").exists()
        beside = {each.stem for each in path.parent.iterdir()} - set(sys.stdlib_module_names)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert not node.level and node.module not in beside, f"{path}:{node.lineno}"


def test_statements_are_built_in_files_named_for_postgres_or_in_store():
    built = re.compile(r"^\s*(from sqlalchemy(\.dialects\S*|\.sql\S*)? import|import sqlalchemy)\b", re.MULTILINE)
    files = [p for p in SOURCES if "migrations" not in p.parts and built.search(p.read_text())]
    assert len(files) > 20
    assert [p for p in files if "postgres" not in p.stem and "store" not in p.parts] == []


def test_only_tests_of_the_demo_and_of_its_data_import_it():
    demo, tests = re.compile(r"^\s*(from|import) fillip_demo\b", re.MULTILINE), ROOT / "tests"
    found = {p.relative_to(tests).as_posix() for p in tests.rglob("*.py") if demo.search(p.read_text())}
    assert {path for path in found if not path.startswith("demo/")} == {
        "accept/backtest.py",
        "accept/cohorts.py",
        "accept/completejourney.py",
    }


def test_a_statement_opens_with_a_line_that_says_what_it_does_and_what_it_locks():
    files = [p for kind in ("sql", "lua") for p in (ROOT / "src").rglob(f"*.{kind}") if "migrations" not in p.parts]
    assert len(files) > 100
    assert [p for p in files if not re.match(r"-- \w", p.read_text())] == []


def test_no_pattern_is_possessive():
    """Python 3.11.2, which Debian 12 has, takes `1.s1` for `(?:\\d++(?:\\.\\d*+)?s)++`."""
    lines = [(path.name, line) for path in (ROOT / "src").rglob("*.py") for line in path.read_text().splitlines()]
    assert [each for each in lines if re.search(r"\bre\.\w+\(.*([+*?}]\+|\(\?>)", each[1])] == []


def test_a_migration_changes_rows_only_while_its_owner_sees_them():
    unseen = []
    for path in sorted((ROOT / "src/fillip/migrations/versions").glob("*.sql")):
        revision = "".join(p.read_text() for p in sorted(path.parent.glob(f"{path.name[:4]}_*.sql")))
        for table in re.findall(r"^(?:UPDATE|DELETE FROM) (\w+)", path.read_text(), re.M):
            if f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY" not in revision:
                unseen.append((path.name, table))
    assert (
        unseen == []
    )  # an owner that is no superuser sees no row of a table whose security is forced, and changes none


def test_locks_hold_behind_any_mirror():
    for lock in (ROOT / "requirements").glob("*.lock"):
        text = lock.read_text()
        assert "--hash=sha256:" in text
        assert "https://" not in text


def test_the_oracle_and_the_product_know_nothing_of_each_other():
    parts = [
        "cel",
        "claim",
        "compare",
        "dates",
        "ids",
        "ledger",
        "limits",
        "list_functions",
        "merging",
        "model",
        "own_events",
        "quest",
        "reversal",
        "sequence",
        "standing",
        "undoing",
        "worth",
    ]
    for name in parts:
        source = (ROOT / "tests" / "oracle" / f"{name}.py").read_text()
        found = re.findall(r"^\s*(?:from|import) (fillip|tests\.[\w.]+)", source, re.MULTILINE)
        assert set(found) <= {"tests.oracle", *(f"tests.oracle.{each}" for each in parts)}, name
    assert [path for path in SOURCES if "tests.oracle" in path.read_text()] == []
