"""Columns of tables, by kind."""

from collections.abc import Iterable
from functools import partial
from itertools import chain
from typing import Any, TypeAlias

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    FetchedValue,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

metadata = MetaData()
Columns: TypeAlias = Iterable[Column[Any]]


def make_table(name: str, *columns: Columns) -> Table:
    """Describe a table by its columns, in groups of a kind."""
    return Table(name, metadata, *chain.from_iterable(columns))


def _columns(kind: TypeEngine[Any], *names: str, key: bool = False, null: bool = False, given: bool = True) -> Columns:
    """Columns of one kind; one that is not always `given` the server fills."""
    return [
        Column(name, kind, primary_key=key, nullable=null, server_default=None if given else FetchedValue())
        for name in names
    ]


key = partial(_columns, Text(), key=True)
text = partial(_columns, Text())
count = partial(_columns, BigInteger(), given=False)
integer = partial(_columns, Integer(), given=False)
uuid = partial(_columns, Uuid(), given=False)
instant = partial(_columns, DateTime(timezone=True), given=False)
json = partial(_columns, JSONB(none_as_null=True), given=False)
octets = partial(_columns, LargeBinary())
day = partial(_columns, Date())
flag = partial(_columns, Boolean(), given=False)


def revised() -> Columns:
    """The columns of an object that an ETag guards."""
    return [*count("revision"), *instant("created_at", "updated_at")]
