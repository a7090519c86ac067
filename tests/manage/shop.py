"""A shop's book to test with: one action, one cohort, campaigns and limits as a marketer would write them."""

from typing import Any

from httpx import AsyncClient

ANY = {"If-Match": "*"}
LONG_AGO = "2026-01-01T00:00:00Z"
PURCHASE: dict[str, Any] = {
    "type": "object",
    "properties": {"amount_cents": {"type": "integer"}, "coupon": {"type": "string"}, "store": {"type": "string"}},
    "required": ["amount_cents"],
}
CASHBACK: dict[str, Any] = {
    "kind": "SIMPLE",
    "name": "Big baskets",
    "action": "PURCHASE",
    "rule": 'event.amount_cents >= 5000 && user.tier == "gold"',
    "rewards": [{"kind": "cashback", "value": 100}],
}
QUEST: dict[str, Any] = {
    "kind": "QUEST",
    "name": "Three visits",
    "quest": {"steps": [{"name": "visit", "action": "PURCHASE", "count": 3}], "window_s": 604_800},
    "rewards": [{"kind": "points", "value": 50}],
}


async def open_shop(client: AsyncClient) -> None:
    """Define the action, the user ada (gold) and the cohort vip of ada."""
    assert (await client.put("/v1/actions/PURCHASE", json={"schema": PURCHASE})).status_code == 201
    assert (await client.put("/v1/users/ada", json={"attributes": {"tier": "gold"}})).status_code == 201


async def open_cohort(client: AsyncClient, cohort_id: str, *members: str) -> None:
    """Make a cohort of these users."""
    made = await client.post("/v1/cohorts", json={"cohort_id": cohort_id, "name": cohort_id})
    assert made.status_code == 201, made.text
    lines = "user_id\n" + "\n".join(members)
    headers = ANY | {"Content-Type": "text/csv"}
    put = await client.put(f"/v1/cohorts/{cohort_id}/members", content=lines, headers=headers)
    assert put.status_code == 200, put.text


async def fill_list(client: AsyncClient, list_id: str, *items: object) -> dict[str, Any]:
    """Make a list of these items, or give it them."""
    put = await client.put(f"/v1/lists/{list_id}", json={"name": list_id, "items": items}, headers=ANY)
    assert put.is_success, put.text
    answer: dict[str, Any] = put.json()
    return answer


async def draft(client: AsyncClient, campaign_id: str, definition: dict[str, Any]) -> dict[str, Any]:
    """Make a draft."""
    made = await client.post("/v1/campaigns", json={"campaign_id": campaign_id, "definition": definition})
    assert made.status_code == 201, made.text
    answer: dict[str, Any] = made.json()
    return answer


async def launch(client: AsyncClient, campaign_id: str, definition: dict[str, Any]) -> dict[str, Any]:
    """Make a campaign and launch it; it takes what happened since LONG_AGO, unless it says when it starts."""
    schedule = {"starts_at": LONG_AGO} | definition.get("schedule", {})
    await draft(client, campaign_id, definition | {"schedule": schedule})
    moved = await client.post(f"/v1/campaigns/{campaign_id}/launch", headers=ANY)
    assert moved.status_code == 200, moved.text
    answer: dict[str, Any] = moved.json()
    return answer


async def cap(client: AsyncClient, limit_id: str, **parts: Any) -> dict[str, Any]:
    """Make a limit."""
    made = await client.post("/v1/limits", json={"limit_id": limit_id, **parts})
    assert made.status_code == 201, made.text
    answer: dict[str, Any] = made.json()
    return answer
