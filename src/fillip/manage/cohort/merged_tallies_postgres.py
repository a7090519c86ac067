"""What is counted of a merged user by the rules of cohorts is counted of the other."""

from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any

from msgspec import convert
from sqlalchemy import ARRAY, Boolean, DateTime, LargeBinary, Text, Uuid

from fillip.core.ports import Caller
from fillip.core.tally import CohortRule, Tally, unpack_tally
from fillip.manage.cohort.statement_postgres import Kinds, load_statement
from fillip.manage.store.postgres import Connection

_KINDS: Kinds = {
    "tenant_id": Text(), "user_id": Text(), "into": Text(), "rules": ARRAY(Uuid()), "terms": ARRAY(LargeBinary()),
    "members": ARRAY(Boolean()), "listed": ARRAY(Boolean()), "leave": ARRAY(DateTime(timezone=True)), "forget": ARRAY(DateTime(timezone=True)),
}  # fmt: skip
_load = partial(load_statement, kinds=_KINDS)
_READ, _WRITE = _load("read_two_tallies"), _load("write_merged_tallies")


async def merge_tallies(connection: Connection, caller: Caller, user_id: str, into: str) -> None:
    """Add what is counted of a user, a hundred rules at most, to what is of another; where the list of a rule has either it is to have the
    other. Nobody counts meanwhile: the lists are held.
    """
    named, at = {"tenant_id": caller.tenant_id, "user_id": user_id, "into": into}, datetime.now(UTC)
    merged = dict[str, list[Any]](rules=[], terms=[], members=[], listed=[], leave=[], forget=[])
    for rule_id, rows in groupby(await connection.execute(_READ, named), attrgetter("rule_id")):
        known = {row.user_id: row for row in rows}
        rule = convert(known[user_id].definition, CohortRule)
        hers = unpack_tally(known[into].terms) if into in known else Tally()
        tally = hers.add(unpack_tally(known[user_id].terms).terms, rule, at)
        standing = tally.stand(rule, at)
        values = (rule_id, tally.pack(), standing.is_member, any(row.is_listed for row in known.values()))
        for column, value in zip(merged.values(), (*values, standing.leaves_at, standing.forget_at), strict=True):
            column.append(value)
    if merged["rules"]:
        await connection.execute(_WRITE, named | merged)
