"""Whose scores may have moved, and which tenants' leaderboards, by the rows of the WAL. Pure."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from msgspec import Struct, field

from fillip.publish.pgoutput import Relation, Row, Value

_COLUMNS = {
    "incentive": ("tenant_id", "user_id"),
    "incentive_change": ("tenant_id", "user_id", "change"),
    "user_merge": ("tenant_id", "user_id"),
    "erasure": ("tenant_id", "user_id"),
    "leaderboard": ("tenant_id", "leaderboard_id"),
}
_UNTOLD = frozenset({"user_merge", "erasure", "leaderboard"})


class Touched(Struct):
    """`users` by tenant, each with the newest transaction that touched it; `defined` are tenants whose leaderboards have changed."""

    users: dict[bytes, dict[bytes, int]] = field(default_factory=dict)
    defined: set[bytes] = field(default_factory=set)


class TouchReader:
    """Reads rows for what they touch."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Relation, Callable[[Sequence[Value]], tuple[Any, ...]]]] = {}

    def wants(self, relation: Relation) -> bool:
        """Whether it is of a table that is read for this alone, and not announced."""
        return relation.name in _UNTOLD

    def read(self, row: Row, tx_id: int, touched: Touched) -> None:
        """Take a row where it touches anything."""
        table = row.relation.name
        if table not in _COLUMNS:
            return
        known = self._known.get(table)
        if known is None or known[0] is not row.relation:
            names = [column.name for column in row.relation.columns]
            known = self._known[table] = row.relation, itemgetter(*map(names.index, _COLUMNS[table]))
        tenant_id, user_id, *change = known[1](row.values)
        if table == "leaderboard":
            touched.defined.add(tenant_id)
            return
        counts = change in ([], [b"reversed"]) if row.op == "c" else row.op == "u" and table in _UNTOLD
        if counts and isinstance(user_id, bytes):  # an erasure that is done names nobody
            touched.users.setdefault(tenant_id, {})[user_id] = tx_id
