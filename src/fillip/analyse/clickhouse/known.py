"""How rows that stand are known before a load."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, islice
from uuid import UUID

from clickhouse_connect.driver.client import Client

from fillip.analyse.clickhouse.fact_row import FactRow
from fillip.analyse.clickhouse.statements import SQL

ROWS_AT_ONCE = 500
"""A parameter of ClickHouse has 128 KiB at most."""


def fetch_standing(
    client: Client, rows: Iterable[FactRow], since: Mapping[str, Sequence[int]]
) -> Mapping[UUID, FactRow]:
    """By id, those that count from loads `since` on."""
    found: dict[UUID, FactRow] = {}
    for kind, alike in groupby(sorted(rows, key=lambda row: row.kind), key=lambda row: row.kind):
        wanted = {row.id: row for row in alike}
        left = iter(wanted.values())
        while portion := list(islice(left, ROWS_AT_ONCE)):
            keys: dict[str, object] = {
                "tenants": sorted({row.tenant_id for row in portion}),
                "campaigns": sorted({row.campaign_id for row in portion}),
                "limits": sorted({row.limit_id for row in portion}),
                "days": sorted({row.day for row in portion}),
                "ids": [row.id for row in portion],
            }
            asked = keys | {"kind": kind, "since": since.get(kind, [])}
            for known, revision, amount, steps in client.query(SQL["standing_rows"], parameters=asked).result_rows:
                found[known] = FactRow(kind=kind, id=known, revision=revision, amount=amount, steps=steps)
    return found
