"""Explanations over HTTP: why a rule of four leaves holds, or does not, with limits and conflicts as they stand."""

import asyncio
import http.client
import time
from collections.abc import Sequence
from statistics import median, quantiles

from msgspec import json

from fillip.app.operate import create_key
from fillip.embedded.ports import choose_free_port
from fillip.figures import Figure, at_most, expect, note
from fillip.stream.kafka import ensure_topics
from fillip.stream.topics import Topics
from tests.bench.http import await_ready
from tests.bench.load import ACTION, RULES, TENANT, name_campaign
from tests.bench.site import Site, read_cpu_s

TOPICS = Topics("bench-explain.")
RULE = 'event.member && event.category == "shoe" && event.amount >= 300 && event.amount < 330'
WARM_UP, ASKED = 50, 400
SHOE = {"amount": 310, "rating": 3.0, "category": "shoe", "store": "web", "member": True, "tags": []}


def bench(site: Site) -> list[Figure]:
    """One request after the other on one connection; an event that meets the rule, and one that does not, in turns."""
    port = choose_free_port()
    asyncio.run(ensure_topics(site.addresses.kafka_bootstrap, TOPICS))
    with (
        site.database() as dsn,
        site.process(site.settings(dsn, TOPICS, api_port=port), "fillip.app.cli", "api") as api,
    ):
        key = str(create_key(dsn, TENANT, "bench").key)
        await_ready(port)
        before_s = read_cpu_s(api.pid)
        site.tell(f"explaining {WARM_UP + ASKED} events")
        taken_ms, read_ms, leaves = ask(port, key)
        cpu_ms = (read_cpu_s(api.pid) - before_s) * 1000 / len(taken_ms)
    cuts = quantiles(taken_ms[WARM_UP:], n=100)
    return [
        expect("leaves explained of each rule", 4, leaves, ""),
        at_most("explain over HTTP, p50", 5, round(cuts[49], 2), "ms"),
        note("explain over HTTP, p99", round(cuts[98], 2), "ms"),
        note("explain, CPU of the API for both", round(cpu_ms, 2), "ms"),
        note("GET of a campaign beside it, p50", round(median(read_ms[WARM_UP:]), 2), "ms"),
    ]


def ask(port: int, key: str) -> tuple[Sequence[float], Sequence[float], int]:
    """(ms of each explanation, ms of a plain read after each, fewest leaves in an answer)."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    address = f"/v1/campaigns/{name_campaign(RULES.index(RULE))}"
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    taken_ms, read_ms, leaves = [], [], []
    for number in range(WARM_UP + ASKED):
        event = {"user_id": f"u{number}", "action": ACTION, "attributes": SHOE | {"amount": 310 + number % 2 * 20}}
        body = json.encode(event)
        text, took_ms = send(line, "POST", f"{address}/explain", body, headers)
        taken_ms.append(took_ms)
        read_ms.append(send(line, "GET", address, None, headers)[1])
        found = json.decode(text)
        assert found["outcome"] == ("no_match" if number % 2 else "granted"), text
        rules = next(check["rules"] for check in found["checks"] if check["check"] == "rule")
        leaves.append(len(rules[0]["leaves"]))
    return taken_ms, read_ms, min(leaves)


def send(
    line: http.client.HTTPConnection, method: str, address: str, body: bytes | None, headers: dict[str, str]
) -> tuple[bytes, float]:
    """(the answer's body, ms until it was there)."""
    began = time.perf_counter()
    line.request(method, address, body, headers)
    answer = line.getresponse()
    text = answer.read()
    assert answer.status == 200, text
    return text, (time.perf_counter() - began) * 1000
