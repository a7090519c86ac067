"""Poison between good events: it is kept and told, and its neighbours never notice."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from fillip.app.up import Stack
from fillip.stream.kafka import Tail, read_last
from tests.live.conftest import Shop
from tests.live.running import fetch, find_topics, open_producer, wait_until_settled

pytestmark = pytest.mark.xdist_group("live")

MEGABYTE = "x" * 1_000_000
TOLD_WITHIN_S = 15


def nest(levels: int) -> dict[str, Any]:
    """An object in an object in an object …"""
    inner: dict[str, Any] = {}
    for _ in range(levels):
        inner = {"deeper": inner}
    return inner


def encode(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode()


POISON: dict[str, Callable[[Shop], bytes]] = {
    "undecodable": lambda shop: b"\xff\xfe\x00{ this is no JSON",
    "not_an_event": lambda shop: b'{"id": "half-an-event"}',
    "unknown_tenant": lambda shop: encode(shop.buy("p1") | {"tenantid": "nobody-here"}),
    "unknown_action": lambda shop: encode(shop.buy("p2") | {"type": "STEAL"}),
    "schema_violation": lambda shop: encode(shop.buy("p3", amount="a lot")),
    "conflicting_duplicate": lambda shop: encode(shop.buy("good-0", amount=777)),
    "too_large": lambda shop: encode(shop.buy("p4", note=MEGABYTE)),
    "too_deep": lambda shop: encode(shop.buy("p5", more=nest(40))),
    "nul_character": lambda shop: encode(shop.buy("p6", note="a\0b")),
}


async def test_poison_on_kafka_is_kept_and_told_and_harms_no_neighbour(stack: Stack, shop: Shop) -> None:
    poison = {reason: make(shop) for reason, make in POISON.items()}
    topics, told = find_topics(stack), dict[tuple[int, int], str]()
    good = [encode(shop.buy(f"good-{n}")) for n in range(len(poison) + 1)]
    mixed = [good[0], *(value for pair in zip(poison.values(), good[1:], strict=True) for value in pair)]

    async with Tail(stack.settings.kafka_bootstrap, [topics.rejected]) as tail, open_producer(stack) as producer:
        await producer.send_many([(topics.received, f"{shop.tenant}:ann", value) for value in mixed])
        await wait_until_settled(stack)
        query = "SELECT original, reason, partition, log_offset, tenant_id FROM rejection WHERE original = ANY ($1)"
        stored = await fetch(stack, query, list(poison.values()))
        async with asyncio.timeout(TOLD_WITHIN_S):
            async for records in tail:
                rows = [json.loads(record.value or b"")["after"] for record in records]
                told |= {(row["partition"], row["log_offset"]): row["reason"] for row in rows}
                if len(told) >= len(poison):
                    break

    assert {original: reason for original, reason, *_ in stored} == {value: why for why, value in poison.items()}
    assert told == {(partition, offset): reason for _, reason, partition, offset, _ in stored}
    assert {reason for _, reason, _, _, tenant in stored if tenant is None} == {
        "undecodable",
        "not_an_event",
        "unknown_tenant",
    }
    granted = await fetch(
        stack, "SELECT event_id FROM decision WHERE tenant_id = $1 AND outcome = 'granted'", shop.tenant
    )
    assert {event_id for (event_id,) in granted} == {f"good-{n}" for n in range(len(good))}


async def test_poison_by_http_is_refused_whole(stack: Stack, shop: Shop) -> None:
    headers = {"Authorization": f"Bearer {shop.key}", "Content-Type": "application/json"}
    statuses = {
        "undecodable": 400,
        "not_an_event": 422,
        "unknown_tenant": 403,
        "unknown_action": 422,
        "schema_violation": 422,
        "too_large": 422,
        "too_deep": 422,
        "nul_character": 422,
        "conflicting_duplicate": 409,
    }
    async with httpx.AsyncClient(base_url=stack.doors.api, headers=headers) as http:
        first = await http.post("/v1/events", content=encode(shop.buy("good-0")))
        assert first.status_code == 202
        before = await _read_ends(stack)
        for reason, status in statuses.items():
            body = b"[" + encode(shop.buy("neighbour")) + b"," + POISON[reason](shop) + b"]"
            answer = await http.post("/v1/events", content=body)
            assert (reason, answer.status_code) == (reason, status), answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["trace_id"] == answer.headers["trace-id"]
        larger = await http.post("/v1/events", content=encode(shop.buy("p7", note=MEGABYTE + MEGABYTE)))
        assert larger.status_code == 413
    assert await _read_ends(stack) == before


async def test_a_rule_that_does_not_type_check_is_refused_with_its_place(stack: Stack, shop: Shop) -> None:
    definition = {"kind": "SIMPLE", "name": "Typo", "action": "BUY", "rule": "event.amount >= 1 &&\n event.amuont < 5"}
    body = {"campaign_id": "typo", "definition": definition | {"rewards": [{"kind": "points", "value": 1}]}}
    async with httpx.AsyncClient(base_url=stack.doors.api, headers={"Authorization": f"Bearer {shop.key}"}) as http:
        answer = await http.post("/v1/campaigns", json=body, headers={"Idempotency-Key": "typo"})
    assert answer.status_code == 422
    assert "line 2" in answer.text
    assert "amuont" in answer.text


async def _read_ends(stack: Stack) -> dict[tuple[str, int], int]:
    newest = await read_last(stack.settings.kafka_bootstrap, [find_topics(stack).received])
    return {place: record.offset for place, record in newest.items() if record}
