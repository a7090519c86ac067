"""What every door says: ids that can be used again, and answers that name what is wrong."""

import json
from csv import DictReader
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from fillip.app.up import Stack
from fillip.figures import Figure, expect
from tests.accept.case_shop import POINTS, open_shop, post, send
from tests.live.running import fetch, find_topics, open_producer, wait_for, wait_until_settled

ODD = ("a/b", "50%", "%2F", "a b", "a?b#c", "...", "ä/ö", "x;y+z")
BASKET = {
    "type": "object",
    "properties": {"items": {"type": "array", "items": {"type": "object", "properties": {"qty": {"type": "integer"}}}}},
}
ABSENT_LISTS = ("event.items.all(i, i.qty > 5)", "size(event.items) == 0", "!has(event.items)")


async def play_ids(stack: Stack, folder: Path) -> list[Figure]:
    """06: what is taken can be named in every path, whatever stands in it; what no path can hold is refused at each door."""
    key = open_shop(stack, "ids", "UTC", clock="history")
    given = [(row["kind"], row["id"]) for row in DictReader((folder / "ids.csv").open())]
    users = [one for kind, one in given if kind == "user_id" and one != ".."] + list(ODD)
    spends, reversals = ([one for kind, one in given if kind == f"{what}_id"] for what in ("spend", "reversal"))
    async with open_client(stack, key) as client:
        events = [make_event(f"e/{user}", user) for user in users] + [make_event("sale/77", "sam")]
        taken = (await client.post("/v1/events", json=events)).status_code
        await wait_until_settled(stack)
        used = [await use_everywhere(client, user, user) for user in users]
        refunded = [await use_everywhere(client, "sam", spend) for spend in spends]
        named = [await reverse(client, reversal) for reversal in (*reversals, *ODD)]
        dotted = [event | {"tenantid": "ids"} for event in (make_event("d1", ".."), make_event("d2", "."))]
        refused = [await post(stack, key, dots) for dots in dotted]
        await send(stack, dotted)
        await wait_until_settled(stack)
        told = [await client.request(method, path, json=body) for method, path, body in list_dotted()]
    kept = await fetch(stack, "SELECT reason FROM rejection WHERE tenant_id = 'ids'")
    return [
        expect("events of such users taken", 202, taken),
        expect("users read, paid and refunded", len(users), used.count(5)),
        expect("spends refunded", len(spends), refunded.count(5)),
        expect("reversals named", len(named), named.count(200)),
        expect(
            "users . and .. refused at /subject",
            "422 /subject, 422 /subject",
            ", ".join(f"{s} {a}" for s, a in refused),
        ),
        expect("kept from Kafka as not_an_event", 2, kept.count(("not_an_event",))),
        expect("doors that refuse . and ..", len(told), [answer.status_code for answer in told].count(422)),
    ]


async def use_everywhere(client: httpx.AsyncClient, user: str, spend: str) -> int:
    """What is given back of a spend of 5, by paths with `user` and `spend`; 0 where one of them can't be used."""
    wallet, spent = f"/v1/users/{quote(user, safe='')}/wallets/POINTS", {"spend_id": spend, "amount": 5}
    made = await client.post(f"{wallet}/spends", json=spent)
    refund = await client.post(f"{wallet}/spends/{quote(spend, safe='')}/refund")
    read = await client.get(wallet)
    good = (made.status_code, refund.status_code, read.status_code) == (201, 201, 200)
    return int(refund.json()["amount"]) if good else 0


async def reverse(client: httpx.AsyncClient, reversal: str) -> int:
    """The status of a reversal's own path, once it has been decided."""
    body = {"reversal_id": reversal, "event_id": "sale/77", "user_id": "sam"}
    assert (await client.post("/v1/reversals", json=body)).status_code == 202

    async def look() -> int:
        status = (await client.get(f"/v1/reversals/{quote(reversal, safe='')}")).status_code
        return status if status == 200 else 0

    return await wait_for(f"the reversal {reversal}", look)


def list_dotted() -> list[tuple[str, str, object]]:
    """(method, path, body) of requests that would make something of the name `..`."""
    return [
        ("PUT", "/v1/users/%2E%2E", {"attributes": {}}),
        ("POST", "/v1/users:bulk", {"users": [{"user_id": "..", "attributes": {}}]}),
        ("POST", "/v1/users/sam/wallets/POINTS/spends", {"spend_id": "..", "amount": 1}),
        ("POST", "/v1/users/sam/wallets/POINTS/adjustments", {"adjustment_id": ".", "amount": 1, "reason": "a gift"}),
        ("POST", "/v1/reversals", {"reversal_id": "..", "event_id": "sale/77", "user_id": "sam"}),
        ("POST", "/v1/tickets", {"user_id": ".."}),
    ]


async def play_words(stack: Stack, folder: Path) -> list[Figure]:
    """12: each answer says what is wrong and where; what pages say of absent lists is so."""
    key = open_shop(stack, "words", "UTC", clock="history")
    texts = [line.strip(" ,\n[]") for line in (folder / "events.json").read_text().splitlines()]
    async with open_client(stack, key) as client:
        alone = [await say(client, "POST", "/v1/events", text.encode()) for text in texts]
        together = await say(client, "POST", "/v1/events", f"[{','.join(texts)}]".encode())
        lists = [
            await say(client, "PUT", "/v1/lists/l", json.dumps({"name": "L", "items": [i]}).encode())
            for i in (1.0, True, 2**63)
        ]
        await client.post("/v1/cohorts", json={"cohort_id": "vip", "name": "VIP"})
        await client.post("/v1/coupon-pools", json={"pool_id": "new", "name": "New"})
        members, codes = "/v1/cohorts/vip/members", "/v1/coupon-pools/new/codes"
        headed = await say(client, "PUT", members, (folder / "cohort.csv").read_bytes(), "text/csv")
        parted = await say(client, "PUT", members, b"user_id\nsam;kim\n", "text/csv")
        blank = await say(client, "POST", codes, (folder / "coupons.csv").read_bytes(), "text/csv")
        asked = await say(client, "GET", "/v1/decisions?user=sam", b"")
        granted = await earn_without_a_list(stack, client)
    kept = await tell_by_kafka(stack, [text.replace("{", '{"tenantid": "words", ', 1) for text in texts])
    surrogate, endless = "lone surrogate", "the number is too large"
    either = "422 /items/0: must be a string or a whole number of 64 bits"
    return [
        expect("leap second", True, alone[0].startswith("422 /time: not_an_event: time must not be a leap second")),
        expect("half a surrogate", True, alone[1].startswith("400 /data/name: ") and surrogate in alone[1]),
        expect("1e400", f"422 /data/price: undecodable: {endless}", alone[2]),
        expect(
            "half a surrogate in a batch", True, together.startswith("400 /1/data/name: ") and surrogate in together
        ),
        expect(
            "the three by Kafka",
            3,
            sum(
                said in " ".join(kept)
                for said in ("/time: time must not be a leap", f"/data/name: a {surrogate}", f"/data/price: {endless}")
            ),
        ),
        expect("items of no kind", 3, lists.count(either)),
        expect("a header `userid`", True, headed.startswith("422 line 1: looks like a header, which is user_id")),
        expect("`sam;kim`", "422 line 2: more than one column; an id with a semicolon needs quotes", parted),
        expect("a blank line of codes", "422 line 2: empty", blank),
        expect("GET /v1/decisions?user=sam", True, asked.startswith("422 user: unknown parameter; known here: ")),
        expect("grants by rules on an absent list", len(ABSENT_LISTS), granted),
    ]


async def say(client: httpx.AsyncClient, method: str, path: str, body: bytes, media: str = "application/json") -> str:
    """`status place: message` of the first fault."""
    answer = await client.request(method, path, content=body, headers={"Content-Type": media, "If-Match": "*"})
    fault = (answer.json().get("errors") or [{"at": "", "message": ""}])[0]
    return f"{answer.status_code} {fault['at']}: {fault['message']}"


async def earn_without_a_list(stack: Stack, client: httpx.AsyncClient) -> int:
    """How many of the rules grant something for an event without `items`."""
    await client.put("/v1/actions/BASKET", json={"schema": BASKET})
    for number, rule in enumerate(ABSENT_LISTS):
        campaign = POINTS | {"name": f"Absent {number}", "action": "BASKET", "rule": rule}
        made = await client.post("/v1/campaigns", json={"campaign_id": f"absent-{number}", "definition": campaign})
        assert made.status_code == 201, made.text
        launched = await client.post(f"/v1/campaigns/absent-{number}/launch", headers={"If-Match": "*"})
        assert launched.status_code == 200, launched.text
    await client.post("/v1/events", json=make_event("b1", "sam") | {"type": "BASKET", "data": {}})
    await wait_until_settled(stack)
    return len((await client.get("/v1/users/sam/inbox")).json()["items"])


async def tell_by_kafka(stack: Stack, texts: list[str]) -> list[str]:
    """What the rejections say of messages that are put into the log."""
    topic = find_topics(stack).received
    async with open_producer(stack) as producer:
        await producer.send_many([(topic, "words:sam", text.encode()) for text in texts])
    await wait_until_settled(stack)
    originals = [text.encode() for text in texts]
    return [
        detail for (detail,) in await fetch(stack, "SELECT detail FROM rejection WHERE original = ANY ($1)", originals)
    ]


def make_event(event_id: str, user: str) -> dict[str, Any]:
    """A purchase."""
    event = {"specversion": "1.0", "id": event_id, "source": "/pos", "type": "BUY", "subject": user}
    return event | {"time": "2026-01-31T09:30:00Z", "data": {"amount": 5}}


def open_client(stack: Stack, key: str) -> httpx.AsyncClient:
    """A client of the API."""
    return httpx.AsyncClient(base_url=stack.doors.api, headers={"Authorization": f"Bearer {key}"}, timeout=60)
