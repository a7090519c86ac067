"""A page of each of the largest lists, of one tenant of fifty, on tables of up to five million rows."""

import asyncio
import time
from statistics import median

import httpx
import psycopg

from fillip.app.operate import create_key
from fillip.embedded.ports import choose_free_port
from fillip.figures import Figure, at_most, note
from fillip.stream.kafka import ensure_topics
from fillip.stream.topics import Topics
from tests.bench.http import await_ready
from tests.bench.site import Site

ROWS = 5_000_000
"""Of incentives, each with its decision and its entry in an inbox: those of 50 tenants, of 2,000 users and 20 campaigns."""
TIMES, WARM_UP = 30, 5
TOPICS = Topics("bench-lists.")
TENANT = "t07"
LISTS = {
    "incentives": "/v1/incentives",
    "incentives of a user": "/v1/incentives?user_id=u7",
    "incentives of a campaign": "/v1/incentives?campaign_id=c7",
    "incentives claimed": "/v1/incentives?state=claimed",
    "incentives delivered, sifted": "/v1/incentives?state=delivered",
    "decisions": "/v1/decisions",
    "decisions of a user": "/v1/decisions?user_id=u7",
    "decisions of a campaign": "/v1/decisions?campaign_id=c7",
    "decisions of an event": "/v1/decisions?event_id=e357",
    "decisions denied, sifted in vain": "/v1/decisions?outcome=denied",
    "inbox of a user": "/v1/users/u7/inbox",
}
FILL = """
CREATE TEMP TABLE n AS SELECT i, 't' || lpad((i % 50)::text, 2, '0') AS tenant_id, 'u' || (i / 50) % 2000 AS user_id,
    'c' || (i / 50) % 20 AS campaign_id, i / 100000 + 1 AS seq, timestamptz '2026-01-01' + i * interval '1 second' AS at,
    md5(i::text)::uuid AS id FROM generate_series(0, {rows} - 1) AS i;
INSERT INTO tenant (tenant_id, name, time_zone, currency, clock) SELECT DISTINCT tenant_id, 'T', 'UTC', 'EUR', 'live' FROM n;
INSERT INTO decision (tenant_id, decision_id, campaign_id, campaign_version, event_key, event_id, event_source, user_id, outcome, reason,
    occurred_at, local_day, reward_values, limits, book_version, partition, log_offset, decided_at)
SELECT tenant_id, id, campaign_id, 1, id, 'e' || i, '/till', user_id, 'granted', 'granted', at, at::date, '[]', '[]', 1, 0, i, at FROM n;
INSERT INTO incentive (tenant_id, incentive_id, decision_id, campaign_id, user_id, event_id, event_source, reward_index, kind, value, state,
    inbox_seq, occurred_at, received_at, taken_at, granted_at)
SELECT tenant_id, id, id, campaign_id, user_id, 'e' || i, '/till', 0, 'badge', 0, CASE WHEN i % 1000 < 50 THEN 'claimed' ELSE 'granted' END,
    seq, at, at, at, at FROM n;
INSERT INTO inbox (tenant_id, user_id, seq, incentive_id, acked_at)
SELECT tenant_id, user_id, seq, id, CASE WHEN seq % 2 = 0 THEN at END FROM n;
"""


def bench(site: Site) -> list[Figure]:
    """ms a page of 50, the median and the worst of 30 requests one after the other."""
    asyncio.run(ensure_topics(site.addresses.kafka_bootstrap, TOPICS))
    port = choose_free_port()
    with site.database() as dsn:
        fill(site, dsn)
        with site.process(site.settings(dsn, TOPICS, api_port=port), "fillip.app.cli", "api"):
            key = str(create_key(dsn, TENANT, "bench").key)
            await_ready(port)
            times = {name: measure(port, key, path) for name, path in LISTS.items()}
    figures = [at_most(f"{name}, median", 25, round(median(ms), 1), "ms") for name, ms in times.items()]
    return [
        note("rows of each table", ROWS),
        *figures,
        note("worst of all", round(max(map(max, times.values())), 1), "ms"),
    ]


def fill(site: Site, dsn: str) -> None:
    """Rows of fifty tenants."""
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("SET synchronous_commit = off")
        owner.execute(FILL.format(rows=ROWS))
        site.tell(f"{ROWS:,} rows in each of three tables")
        owner.execute("VACUUM (ANALYZE) decision, incentive, inbox, tenant")


def measure(port: int, key: str, path: str) -> list[float]:
    """ms of each request."""
    spent = []
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {key}"}) as client:
        for _ in range(WARM_UP + TIMES):
            began = time.perf_counter()
            answer = client.get(path)
            spent.append((time.perf_counter() - began) * 1000)
            assert answer.status_code == 200, answer.text
    return spent[WARM_UP:]
