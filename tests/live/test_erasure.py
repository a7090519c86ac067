"""A user is erased on a running set: nothing but what time removes tells of the user, and every sum stays."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import redis
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]

from fillip.app.up import Stack
from fillip.client.book import launch_campaigns, upload_cohort
from tests.live.conftest import CASHBACK, Shop
from tests.live.running import fetch, open_ledger, send, wait_for, wait_until_settled

pytestmark = pytest.mark.xdist_group("live")

USER = "canary-ann"
POINTS: dict[str, Any] = CASHBACK | {"name": "Points", "rewards": [{"kind": "points", "value": 50}], "cohorts": ["vip"]}
QUEST: dict[str, Any] = {
    "kind": "QUEST",
    "name": "Two visits",
    "quest": {"window_s": 3600, "steps": [{"name": "visit", "action": "BUY", "count": 2}], "instance": "event"},
    "rewards": [{"kind": "cashback", "value": 20}],
}
LISTS = ("users", "decisions", "incentives", "rejections", "reversals", "quests/progress", "cohorts/vip/members")
SQL = ("events", "decisions", "incentives", "incentive_reversals", "rejections")
DAY_MS = 24 * 3600 * 1000


async def live(stack: Stack, shop: Shop) -> None:
    """What tells of the user, at each door."""
    api = shop.client
    for user in (USER, "bob"):
        api.put(f"/v1/users/{user}", {"attributes": {}})
    upload_cohort(api, "vip", f"user_id\n{USER}\nbob\n".encode())
    launch_campaigns(api, {"points": POINTS, "quest": QUEST}, [])
    api.post("/v1/limits", {"limit_id": "mine", "scope": "user", "measure": "count", "span": "lifetime", "cap": 5})
    mine = [shop.buy(f"canary-{n}", USER, 100 + n, note="canary", more={"canary": n}) for n in range(4)]
    wrong = [shop.buy("canary-x", USER, "canary"), shop.buy("canary-y", USER) | {"type": "canary"}]
    await send(stack, [*mine, *wrong, shop.buy("b1", "bob")])
    await wait_until_settled(stack)
    purse = f"/v1/users/{USER}/wallets/POINTS"
    api.post(f"{purse}/adjustments", {"adjustment_id": "canary-a", "amount": 30, "reason": "canary"})
    api.post(f"{purse}/spends", {"spend_id": "canary-s", "amount": 20})
    api.post(f"{purse}/spends/canary-s/refund", {"refund_id": "canary-f", "amount": 5})
    api.post("/v1/reversals", {"reversal_id": "canary-r", "event_id": "canary-0", "reason": "canary"})
    api.post("/v1/tickets", {"user_id": USER})
    await wait_until_settled(stack)


async def test_an_erased_user_is_found_nowhere_and_every_sum_stays(stack: Stack, shop: Shop) -> None:
    await live(stack, shop)
    headers = {"Authorization": f"Bearer {shop.key}"}
    async with httpx.AsyncClient(headers=headers, timeout=30) as http:
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        span = {"from": "2026-01-01T00:00:00Z", "to": now}

        async def report() -> list[Any]:
            """What reports say, once they have loaded all of it."""
            answers = []
            wanted = {"campaign-days": {}, "liability": {"at": now}, "liability-movements": span}
            wanted |= {"quest-funnel": {"campaign_id": "quest"} | span, "campaign-times": {}}
            for path, asked in wanted.items():
                answer = await http.get(f"{stack.doors.analyse}/v1/reports/{path}", params=asked)
                assert answer.status_code == 200, answer.text
                answers.append(answer.json()["items"])
            return answers

        async def is_loaded() -> list[Any] | None:
            counts = [await count(http, stack, view) for view in ("decisions", "incentive_reversals")]
            said = await report()
            held = [line["active"] for line in said[1]]
            return said if counts == [before[0], 3] and held == [before[3][0][0]] else None

        before = await sum_up(stack, shop.tenant)
        said = await wait_for("reports to have loaded it", is_loaded)

        asked = await http.post(f"{stack.doors.api}/v1/users/{USER}/erasure")
        assert asked.status_code == 202, asked.text
        again = await http.post(f"{stack.doors.api}/v1/users/{USER}/erasure")
        assert again.headers["Location"] == asked.headers["Location"]
        stack.kill("sweep")
        stack.revive()

        async def is_done() -> dict[str, Any] | None:
            answer: dict[str, Any] = (await http.get(f"{stack.doors.api}{asked.headers['Location']}")).json()
            assert USER not in json.dumps(answer)
            return answer if answer["state"] == "done" else None

        done = await wait_for("the erasure", is_done, within_s=90)
        assert done["waits_for"] is None and done["topics_until"] > done["erased_at"]

        assert await sum_up(stack, shop.tenant) == before
        assert await report() == said
        for name in LISTS:
            answer = await http.get(f"{stack.doors.api}/v1/{name}", params={"limit": 200})
            assert answer.status_code == 200 and "canary" not in answer.text, name
            assert answer.json()["items"] != []
        for name in SQL:
            query = {"sql": f"SELECT * FROM {name}"}
            answer = await http.post(f"{stack.doors.analyse}/v1/reports/query", json=query)
            assert answer.status_code == 200 and "canary" not in answer.text, name
        for path in ("", "/wallets", "/inbox", "/quests", "/badges"):
            answer = await http.get(f"{stack.doors.api}/v1/users/{USER}{path}")
            assert answer.status_code == 404 or answer.json()["items"] == [], path

    assert await find_in_ledger(stack) == []
    assert "canary" not in find_in_folder(stack)
    check_topics(stack)
    check_valkey(stack)

    await send(stack, [shop.buy("canary-1", USER, 101, note="canary", more={"canary": 1}), shop.buy("new", USER)])
    await wait_until_settled(stack)
    granted = "SELECT event_id, campaign_id FROM decision WHERE tenant_id = $1 AND user_id = $2 AND outcome = 'granted'"
    new = await fetch(stack, granted, shop.tenant, USER)
    assert new == [("new", "cashback")]  # no member of the cohort any more; what came again grants nothing


async def sum_up(stack: Stack, tenant_id: str) -> list[Any]:
    """What may not change."""
    return [
        (await fetch(stack, "SELECT count(*) FROM decision WHERE tenant_id = $1", tenant_id))[0][0],
        await fetch(stack, "SELECT kind, state, sum(value), count(*) FROM incentive WHERE tenant_id = $1 GROUP BY 1, 2 ORDER BY 1, 2", tenant_id),
        await fetch(stack, "SELECT limit_id, sum(used) FROM limit_counter WHERE tenant_id = $1 GROUP BY 1 ORDER BY 1", tenant_id),
        await fetch(stack, "SELECT sum(active), sum(spent), sum(reversed) FROM wallet WHERE tenant_id = $1", tenant_id),
        await fetch(stack, "SELECT kind, sum(amount), count(*) FROM wallet_transfer WHERE tenant_id = $1 GROUP BY 1 ORDER BY 1", tenant_id),
    ]  # fmt: skip


async def count(http: httpx.AsyncClient, stack: Stack, view: str) -> int:
    """Rows of a view of SQL."""
    query = {"sql": f"SELECT count(*) AS n FROM {view}"}
    answer = await http.post(f"{stack.doors.analyse}/v1/reports/query", json=query)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["rows"][0]["n"])


async def find_in_ledger(stack: Stack) -> list[str]:
    """Tables of PostgreSQL that tell of the user."""
    async with open_ledger(stack) as ledger:
        names = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        tables = [name for (name,) in await ledger.fetch(names)]
        told = "SELECT count(*) FROM {} t WHERE t::text LIKE '%canary%'"
        return [name for name in tables if await ledger.fetchval(told.format(name))]


def find_in_folder(stack: Stack) -> str:
    """What logs and day files say."""
    files = [*(stack.state_dir / "log").glob("*.log"), *stack.state_dir.rglob("*.parquet")]
    assert len(files) > 5
    return " ".join(file.name for file in files if b"canary" in file.read_bytes())


def check_topics(stack: Stack) -> None:
    """A topic that tells of the user forgets it by the date that was told."""
    admin = AdminClient({"bootstrap.servers": stack.settings.kafka_bootstrap})
    consumer = Consumer({"bootstrap.servers": stack.settings.kafka_bootstrap, "group.id": "look"})
    told = set()
    try:
        for name, topic in admin.list_topics(timeout=10).topics.items():
            if name.startswith("__"):
                continue
            for number in topic.partitions:
                part = TopicPartition(name, number, 0)
                _, end = consumer.get_watermark_offsets(part, timeout=10)
                consumer.assign([part])
                seen = 0
                while seen < end and (record := consumer.poll(10)) is not None:
                    seen = (record.offset() or 0) + 1
                    if b"canary" in (record.value() or b"") + bytes(record.key() or b""):
                        told.add(name)
        asked = [ConfigResource(ResourceType.TOPIC, name) for name in told]
        for resource, answer in admin.describe_configs(asked).items():
            config = {name: entry.value for name, entry in answer.result(10).items()}
            assert config["cleanup.policy"] == "delete", resource
            assert int(config["retention.ms"]) <= 7 * DAY_MS and int(config["segment.ms"]) <= DAY_MS, resource
    finally:
        consumer.close()
    assert len(told) > 5


def check_valkey(stack: Stack) -> None:
    """What tells of the user there has an end."""
    with redis.Redis.from_url(stack.settings.valkey_url) as valkey:
        for key in valkey.scan_iter(count=1000):
            if b"canary" in key or b"canary" in (valkey.dump(key) or b""):
                assert 0 < valkey.ttl(key) <= 2 * DAY_MS / 1000, key
