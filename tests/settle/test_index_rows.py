"""No index row can be longer than PostgreSQL takes: one that was would stop whoever writes it."""

import re
from re import _parser  # what counts the longest match of a pattern

import psycopg
import pytest

LARGEST = 2704
PER_ROW, PER_COLUMN = 16, 12  # its header; a value's length word and alignment
INDEXES = """
SELECT i.relname AS index, t.relname AS table, k.place, key.attname AS column, type.typlen, type.typname
FROM pg_index x
JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
CROSS JOIN LATERAL unnest(x.indkey::int[]) WITH ORDINALITY AS k (attnum, place)
JOIN pg_attribute own ON own.attrelid = i.oid AND own.attnum = k.place
JOIN pg_type type ON type.oid = own.atttypid
LEFT JOIN pg_attribute key ON key.attrelid = t.oid AND key.attnum = k.attnum AND k.attnum > 0
WHERE t.relnamespace = 'public'::regnamespace AND t.relname <> 'alembic_version' AND NOT t.relispartition
ORDER BY 1, 3
"""
CHECKS = """
SELECT t.relname, pg_get_constraintdef(c.oid) FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid
WHERE c.contype = 'c' AND t.relnamespace = 'public'::regnamespace
"""


def read_bounds(checks: list[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """The most bytes of each column, as far as its own checks tell."""
    bounds: dict[tuple[str, str], int] = {}
    for table, check in checks:
        for column, most in list_bounds(check):
            bounds[table, column] = min(most, bounds.get((table, column), most))
    return bounds


def list_bounds(check: str) -> list[tuple[str, int]]:
    """(column, bytes) that one check allows at most."""
    found = [(column, int(most)) for column, most in re.findall(r"octet_length\((\w+)\) <= (\d+)", check)]
    found += [(column, int(size)) for column, size in re.findall(r"\blength\((\w+)\) = (\d+)", check)]
    found += [(column, 4 * int(most)) for column, most in re.findall(r"\blength\((\w+)\) <= (\d+)", check)]
    for column, pattern in re.findall(r"\((\w+) ~ '([^']+)'", check):
        found.append((column, _parser.parse(pattern).getwidth()[1]))
    for column, values in re.findall(r"\((\w+) = ANY \(ARRAY\[([^\]]+)\]", check):
        found.append((column, max(map(len, re.findall(r"'([^']*)'", values)))))
    return found


@pytest.fixture
def bounds(database: str) -> dict[tuple[str, str], int]:
    with psycopg.connect(database) as owner:
        return read_bounds(owner.execute(CHECKS).fetchall())


def test_every_index_row_fits(database: str, bounds: dict[tuple[str, str], int]) -> None:
    with psycopg.connect(database) as owner:
        columns = owner.execute(INDEXES).fetchall()
    unbounded, sizes = set(), dict[str, int]()
    for index, table, _, column, length, kind in columns:
        most = length if length > 0 else bounds.get((table, column))
        if most is None:
            unbounded.add(f"{table}.{column} ({kind}) in {index}")
        sizes[index] = sizes.get(index, PER_ROW) + (most or 0) + PER_COLUMN
    assert not unbounded, "give them a bound in 0001_bounds.sql, and where they come in"
    assert len(sizes) > 40
    assert {index: size for index, size in sizes.items() if size > LARGEST} == {}


def test_the_checks_are_read_as_they_are_meant() -> None:
    assert list_bounds("CHECK ((octet_length(user_id) <= 256))") == [("user_id", 256)]
    assert list_bounds("CHECK (((length(name) >= 1) AND (length(name) <= 200)))") == [("name", 800)]
    assert list_bounds("CHECK ((code ~ '^[A-Za-z0-9._-]{1,64}$'::text))") == [("code", 64)]
    assert list_bounds("CHECK ((tenant_id ~ '^[a-z0-9][a-z0-9-]{0,62}$'::text))") == [("tenant_id", 63)]
    assert list_bounds("CHECK ((state = ANY (ARRAY['open'::text, 'lapsed'::text])))") == [("state", 6)]


def test_an_id_of_too_many_bytes_is_refused_by_the_table_itself(database: str) -> None:
    row = "INSERT INTO inbox_head VALUES ('acme', %s, 1)"
    with psycopg.connect(database) as owner:
        owner.execute(row, ["\N{MUSHROOM}" * 64])
        with pytest.raises(psycopg.errors.CheckViolation):
            owner.execute(row, ["\N{MUSHROOM}" * 65])
