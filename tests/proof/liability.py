"""Points outstanding, also by month of expiry: the reports against the ledger at random instants.

`python -m tests.proof.liability STATE` does so for what `fillip demo --state STATE` left behind.
"""

import asyncio
import random
import sys
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
from rich.console import Console

from fillip.analyse.duckdb.bay import DuckdbBay
from fillip.analyse.liability import LiabilityQuestion, ask_expiries
from fillip.core.instant import MIN_TIME
from fillip.embedded.servers import Servers
from fillip.figures import Figure, at_least, expect, show_figures
from fillip.stream.topics import Topics

INSTANTS = 1_000
SPAN = "SELECT min(made_at), max(made_at), count(*) FROM wallet_transfer WHERE tenant_id = $1"
OUTSTANDING = """SELECT currency, sum(amount)::bigint AS sum FROM wallet_posting
WHERE tenant_id = $1 AND account IN ('pending', 'active') AND made_at > $2 AND made_at <= $3 GROUP BY currency ORDER BY currency"""

LASTING = """SELECT t.currency, coalesce(to_char((l.expires_at - interval '1 microsecond') AT TIME ZONE n.time_zone, 'YYYY-MM'), 'never') AS expires,
    sum(c.value::bigint)::bigint AS sum
FROM (SELECT tenant_id, currency, lots, made_at FROM wallet_transfer UNION ALL SELECT tenant_id, currency, lots, made_at FROM wallet_part) t
CROSS JOIN jsonb_each_text(t.lots) c JOIN tenant n USING (tenant_id)
JOIN wallet_lot l ON l.tenant_id = t.tenant_id AND l.lot_id = c.key::uuid
WHERE t.tenant_id = $1 AND t.made_at <= $2 AND (l.expires_at IS NULL OR l.expires_at > $2)
GROUP BY 1, 2 HAVING sum(c.value::bigint) <> 0"""


def prove_liability(dsn: str, state: Path, tenant_id: str) -> list[Figure]:
    """At INSTANTS the outstanding points, and between each two of them what moved, in the facts below `state`."""
    return asyncio.run(_compare(dsn, state, tenant_id))


async def _compare(dsn: str, state: Path, tenant_id: str) -> list[Figure]:
    ledger = await asyncpg.connect(dsn)
    try:
        async with DuckdbBay.open(state / "analyse.duckdb", Topics()) as bay:
            [(first, last, transfers)] = await ledger.fetch(SPAN, tenant_id)
            chances, begin, unlike, unlike_months = random.Random(61), MIN_TIME, 0, 0
            zone = await bay.read_time_zone(tenant_id) or "UTC"
            span = last - first if transfers else timedelta()
            for share in sorted(chances.random() for _ in range(INSTANTS)):
                end = (first or MIN_TIME) + span * share
                asked = LiabilityQuestion(tenant_id, begin, end, 500, "")
                held = {line.currency: line.outstanding for line in await bay.report_liability(asked)}
                moved = {
                    line.currency: line.closing - line.opening for line in await bay.report_liability_movements(asked)
                }
                same = held == await _sum(ledger, tenant_id, MIN_TIME, end)
                unlike += not (
                    same and moved == {**dict.fromkeys(held, 0), **await _sum(ledger, tenant_id, begin, end)}
                )
                unlike_months += not await _has_months(bay, ledger, tenant_id, zone, end, held)
                begin = end
    finally:
        await ledger.close()
    return [
        expect(f"points outstanding and moved: of {INSTANTS:,} random instants unlike the ledger", 0, unlike),
        expect(
            f"points outstanding by month of expiry: of {INSTANTS:,} random instants unlike the ledger's lots",
            0,
            unlike_months,
        ),
        at_least("transfers that they are of", 1, transfers),
    ]


async def _has_months(
    bay: DuckdbBay,
    ledger: "asyncpg.Connection[asyncpg.Record]",
    tenant_id: str,
    zone: str,
    at: datetime,
    held: dict[str, int],
) -> bool:
    """Whether the months are those of the ledger's lots, and all lines add up to what is held."""
    lines = await bay.report_liability_expiries(ask_expiries(tenant_id, zone, at, 10_000, ("", "")))
    months = {(line.currency, line.expires): line.outstanding for line in lines if line.expires != "unsettled"}
    sums = dict.fromkeys(held, 0)
    for line in lines:
        sums[line.currency] += line.outstanding
    lots = {(row["currency"], row["expires"]): row["sum"] for row in await ledger.fetch(LASTING, tenant_id, at)}
    return (months, sums) == (lots, held)


async def _sum(
    ledger: "asyncpg.Connection[asyncpg.Record]", tenant_id: str, begin: datetime, end: datetime
) -> dict[str, int]:
    """What postings after `begin` up to `end` come to, by currency."""
    return {row["currency"]: row["sum"] for row in await ledger.fetch(OUTSTANDING, tenant_id, begin, end)}


def main(state: Path) -> int:
    """0 where all are equal."""
    with Servers(state) as addresses:
        figures = prove_liability(addresses.postgres_dsn, state, "grocer")
    return 0 if show_figures("proof: points outstanding", "proof-liability", figures, Console()) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
