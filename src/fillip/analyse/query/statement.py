"""Checks that a text is one SELECT before it runs. For good messages: what keeps tenants apart is where it runs."""

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from fillip.core.errors import Refused

TABLE_FUNCTIONS = {"unnest", "generate_series", "range"}
"""What may stand in FROM beside the views."""
_FORBIDDEN = (
    exp.Command,
    exp.DDL,
    exp.DML,
    exp.Set,
    exp.Pragma,
    exp.Attach,
    exp.Detach,
    exp.Copy,
    exp.Describe,
    exp.Into,
)
_FORBIDDEN_FUNCTIONS = {
    "current_setting", "getenv", "getvariable", "query", "query_table", "glob", "read_text", "read_blob", "read_csv",
    "read_csv_auto", "read_parquet", "parquet_scan", "read_json", "read_json_auto", "read_ndjson", "sniff_csv", "sleep",
    "pg_sleep", "nextval", "currval", "which_secret", "add_parquet_key", "write_log",
}  # fmt: skip


class StatementRefused(Refused):
    """The text is not one SELECT over the views; `at` is line:column where it is known."""

    kind = "invalid-query"


def check_statement(text: str, views: frozenset[str]) -> None:
    """Raise StatementRefused unless `text` is one SELECT (perhaps with WITH) that reads `views` and what it names itself."""
    statement = _parse(text)
    if not isinstance(statement, exp.Query):
        raise StatementRefused("send one SELECT (perhaps with WITH before it)", at="1:1")
    named = {each.alias.lower() for each in statement.find_all(exp.CTE)}
    for node in statement.walk():
        if isinstance(node, _FORBIDDEN) and not isinstance(node, exp.Query):
            raise StatementRefused(f"{node.key.upper()} is not allowed: send one SELECT", at=_find_place(node))
        if isinstance(node, exp.Func) and (name := _name_function(node)) in _FORBIDDEN_FUNCTIONS:
            raise StatementRefused(f"the function {name} is not allowed", at=_find_place(node))
        if isinstance(node, exp.Table):
            _check_table(node, views | named)


def _parse(text: str) -> exp.Expr:
    try:
        statements = sqlglot.parse(text, dialect="duckdb")
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        at = f"{first['line']}:{first['col']}" if first.get("line") else None
        raise StatementRefused(str(first.get("description") or "this is not SQL"), at=at) from None
    except TokenError as error:
        raise StatementRefused(f"this is not SQL: {str(error)[:200]}") from None
    except RecursionError:
        raise StatementRefused("nested too deep") from None
    sound = [each for each in statements if each is not None]
    if len(sound) != 1:
        raise StatementRefused(f"send one statement: these are {len(sound)}", at="1:1")
    return sound[0]


def _check_table(table: exp.Table, known: frozenset[str]) -> None:
    if isinstance(table.this, exp.Func):
        name = _name_function(table.this)
        if name not in TABLE_FUNCTIONS:
            raise StatementRefused(f"the function {name} is not allowed in FROM", at=_find_place(table))
    elif table.db or table.catalog or table.name.lower() not in known:
        there_are = ", ".join(sorted(known))
        raise StatementRefused(
            f"there is no table {table.sql()[:100]!r}; there are: {there_are}", at=_find_place(table)
        )


def _name_function(node: exp.Func) -> str:
    return (node.name if isinstance(node, exp.Anonymous) else node.sql_name()).lower()


def _find_place(node: exp.Expr) -> str | None:
    for each in node.walk():
        if "line" in each.meta:
            return f"{each.meta['line']}:{each.meta['col'] - (each.meta['end'] - each.meta['start'])}"
    return None
