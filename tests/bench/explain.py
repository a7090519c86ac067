"""POST /v1/campaigns/{id}/explain over HTTP: why an event would not be granted, for a rule of four leaves."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median, quantiles
from typing import Any

from fillip.app.demo.client import ApiClient
from fillip.app.figures import Figure, at_most, expect, note
from fillip.app.operate import create_key
from fillip.app.ports import choose_free_port
from fillip.stream.kafka import ensure_topics
from fillip.stream.topics import Topics
from tests.bench.http import await_ready
from tests.bench.load import ACTION, TENANT
from tests.bench.site import Site

TOPICS = Topics("bench-explain.")
WARM, ASKED = 100, 1_000
RULE = 'event.category == "tea" && event.amount >= 500 && (event.store in ["web", "app"] || event.rating > 4.5)'
DEFINITION = {
    "kind": "SIMPLE",
    "name": "Tea",
    "action": ACTION,
    "rule": RULE,
    "cohorts": ["vip"],
    "rewards": [{"kind": "points", "value": 5}],
}
ATTRIBUTES = {"amount": 499, "rating": 4.0, "category": "tea", "store": "east", "member": True, "tags": []}


def bench(site: Site) -> list[Figure]:
    """One client, one request after the other on a kept connection; a campaign with a cohort and two limits."""
    asyncio.run(ensure_topics(site.addresses.kafka_bootstrap, TOPICS))
    with open_api(site) as api:
        api.post("/v1/cohorts", {"cohort_id": "vip", "name": "VIP"})
        api.put("/v1/cohorts/vip/members", b"user_id\nada\n", {"If-Match": "*"})
        api.post("/v1/campaigns", {"campaign_id": "tea", "definition": DEFINITION})
        body = {"user_id": "ada", "action": ACTION, "attributes": ATTRIBUTES}
        took_ms = []
        for number in range(WARM + ASKED):
            began = time.perf_counter()
            answer = api.post("/v1/campaigns/tea/explain", body)
            if number >= WARM:
                took_ms.append((time.perf_counter() - began) * 1000)
        leaves = count_leaves(answer)
    return [
        expect("leaves of the rule explained", 4, leaves),
        at_most("explain over HTTP: median", 5, round(median(took_ms), 2), "ms"),
        note("explain over HTTP: p99", round(quantiles(took_ms, n=100)[-1], 2), "ms"),
    ]


@contextmanager
def open_api(site: Site) -> Iterator[ApiClient]:
    """A client of one API process on a database of its own."""
    port = choose_free_port()
    with site.database() as dsn, site.process(site.settings(dsn, TOPICS, api_port=port), "fillip.app.cli", "api"):
        await_ready(port)
        yield ApiClient(f"http://127.0.0.1:{port}", create_key(dsn, TENANT, "bench"))


def count_leaves(answer: dict[str, Any]) -> int:
    """Conditions of the rule that the answer tells of."""
    rules = [rule for check in answer["checks"] for rule in check["rules"] or []]
    return sum(len(rule["leaves"]) for rule in rules)
