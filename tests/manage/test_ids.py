"""Ids that others give are bounded in bytes wherever they come in: an index row of PostgreSQL is."""

from urllib.parse import quote

import pytest
from httpx import AsyncClient, Response

FITS, LONG = "é" * 128, "é" * 129
PLACES = {
    "user": ("PUT", f"/v1/users/{quote(LONG)}", {"attributes": {}}),
    "users": ("POST", "/v1/users:bulk", {"users": [{"user_id": LONG, "attributes": {}}]}),
    "ticket": ("POST", "/v1/tickets", {"user_id": LONG}),
    "wallet": ("GET", f"/v1/users/{quote(LONG)}/wallets", None),
    "spend": ("POST", "/v1/users/ada/wallets/POINTS/spends", {"spend_id": LONG, "amount": 1}),
    "adjustment": (
        "POST",
        "/v1/users/ada/wallets/POINTS/adjustments",
        {"adjustment_id": LONG, "amount": 1, "reason": "a gift"},
    ),
    "reversal": (
        "POST",
        "/v1/reversals",
        {"reversal_id": LONG, "event_id": "e1", "event_source": "/till", "user_id": "ada"},
    ),
    "reversed event": ("POST", "/v1/reversals", {"reversal_id": "r1", "event_id": LONG, "user_id": "ada"}),
    "line": (
        "POST",
        "/v1/reversals",
        {"reversal_id": "r1", "event_id": "e1", "user_id": "ada", "lines": [{"line": LONG, "amount": 1}], "of": 2},
    ),
}


async def send(client: AsyncClient, method: str, path: str, body: object) -> Response:
    return await client.request(method, path, json=body, headers={"Idempotency-Key": "once"})


@pytest.mark.parametrize("place", PLACES)
async def test_too_many_bytes_are_refused_where_they_stand(acme: AsyncClient, place: str) -> None:
    answer = await send(acme, *PLACES[place])
    assert answer.status_code == 422, answer.text
    assert "256 bytes" in answer.text


async def test_as_many_as_are_allowed_are_kept(acme: AsyncClient) -> None:
    assert (await acme.put(f"/v1/users/{quote(FITS)}", json={"attributes": {}})).status_code == 201
    assert (await acme.get(f"/v1/users/{quote(FITS)}")).json()["user_id"] == FITS


async def test_a_list_names_the_line_that_is_too_long(acme: AsyncClient) -> None:
    await acme.post("/v1/cohorts", json={"cohort_id": "vip", "name": "VIP"}, headers={"Idempotency-Key": "c"})
    body = f"user_id\n{FITS}\n{LONG}\n".encode()
    answer = await acme.put(
        "/v1/cohorts/vip/members", content=body, headers={"If-Match": "*", "Content-Type": "text/csv"}
    )
    assert answer.status_code == 422
    assert "line 3: longer than 256 bytes" in answer.text
