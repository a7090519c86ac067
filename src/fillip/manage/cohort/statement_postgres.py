"""Statements of this folder's files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.types import TypeEngine

Kinds = Mapping[str, TypeEngine[Any] | type[TypeEngine[Any]]]
"""Of parameters, by name."""


def load_statement(name: str, kinds: Kinds) -> TextClause:
    """The statement of NAME.sql, its parameters of these kinds, by name; others are of what they are given."""
    statement = text(Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8"))
    return statement.bindparams(
        *(bindparam(each, type_=kinds[each]) for each in statement._bindparams if each in kinds)
    )
