"""The rules of cohorts in PostgreSQL, as role fillip_cohort."""

import asyncio
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import asyncpg
import structlog
from msgspec import json

from fillip.cohort.connection_postgres import SQL, reach
from fillip.cohort.stage import LiveRule, RuleBook
from fillip.core.rule import compile_rule
from fillip.core.tally import CohortRule

log = structlog.get_logger()


class PostgresRules:
    """CohortRules: which there are is asked for each batch, each is read and compiled once."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._known: dict[str, dict[tuple[UUID, datetime], LiveRule | None]] = {}

    async def read(self, tenant_ids: Collection[str]) -> RuleBook:
        """See CohortRules."""
        asked = list(tenant_ids)
        async with reach(self._pool, ()) as connection:
            found: dict[str, set[tuple[UUID, datetime]]] = {tenant_id: set() for tenant_id in asked}
            for row in await connection.fetch(SQL["list_rules"], asked):
                found[row["tenant_id"]].add((row["rule_id"], row["saved_at"]))
            new = [rule_id for t, rules in found.items() for rule_id, at in rules - self._known.get(t, {}).keys()]
            rows = await connection.fetch(SQL["read_rules"], asked, new) if new else []
        for tenant_id, rules in found.items():
            kept = self._known.get(tenant_id, {})
            self._known[tenant_id] = {key: kept[key] for key in rules if key in kept}
        for row in rows:
            self._known[row["tenant_id"]][row["rule_id"], row["saved_at"]] = _read_rule(row)
            await asyncio.sleep(0)  # compiling takes 0.3 ms
        book: dict[tuple[str, str], list[LiveRule]] = {}
        for tenant_id in asked:
            for rule in filter(None, self._known[tenant_id].values()):
                book.setdefault((tenant_id, rule.definition.action), []).append(rule)
        return book


def _read_rule(row: asyncpg.Record) -> LiveRule | None:
    """None for one that can't be read: it counts nothing, and the others go on."""
    try:
        measured = row["sum_checked"]
        return LiveRule(
            row["tenant_id"],
            row["rule_id"],
            json.decode(row["definition"], type=CohortRule),
            compile_rule(row["rule_checked"]),
            compile_rule(measured) if measured is not None else None,
        )
    except Exception:
        log.exception("the rule of a cohort can't be read", tenant=row["tenant_id"], rule=str(row["rule_id"]))
        return None
