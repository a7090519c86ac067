"""Ids that others give: bounded in bytes wherever they come in, as an index row of PostgreSQL is, and each that is taken
can be named in every path.
"""

from urllib.parse import quote

import pytest
from httpx import AsyncClient, Response

from fillip.manage.app import ROUTERS

FITS, LONG = "é" * 128, "é" * 129
PLACES = {
    "user": ("PUT", f"/v1/users/{quote(LONG)}", {"attributes": {}}),
    "users": ("POST", "/v1/users:bulk", {"users": [{"user_id": LONG, "attributes": {}}]}),
    "ticket": ("POST", "/v1/tickets", {"user_id": LONG}),
    "wallet": ("GET", f"/v1/users/{quote(LONG)}/wallets", None),
    "spend": ("POST", "/v1/users/ada/wallets/POINTS/spends", {"spend_id": LONG, "amount": 1}),
    "hold": ("POST", "/v1/users/ada/wallets/POINTS/holds", {"hold_id": LONG, "amount": 1}),
    "gift": ("POST", "/v1/users/ada/wallets/POINTS/gifts", {"gift_id": LONG, "to_user_id": "eve", "amount": 1}),
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


ODD = [
    "crm://person/9",
    "a/b",
    "/",
    "50%",
    "%2F",
    "%252F",
    "a b",
    " ",
    "a?b#c",
    "a+b&c",
    "x;y",
    "...",
    ".a",
    "ä/ö",
    "a\nb",
    "users:bulk",
]


@pytest.mark.parametrize("odd", ODD)
async def test_every_id_that_is_taken_can_be_used_in_every_path(acme: AsyncClient, odd: str) -> None:
    """As one segment: a slash is %2F, whatever else stands beside it."""
    await acme.put("/v1/points/POINTS", json={"name": "Points"})
    user, wallet = f"/v1/users/{quote(odd, safe='')}", f"/v1/users/{quote(odd, safe='')}/wallets/POINTS"
    assert (await acme.put(user, json={"attributes": {"age": 1}})).status_code == 201
    changed = await acme.patch(user, json={"attributes": {"age": 2}}, headers={"If-Match": "*"})
    assert (changed.status_code, changed.json()["user_id"]) == (200, odd)
    given = {"adjustment_id": odd, "amount": 100, "reason": "a gift"}
    assert (await acme.post(f"{wallet}/adjustments", json=given)).status_code == 201
    assert (await acme.post(f"{wallet}/spends", json={"spend_id": odd, "amount": 5})).status_code == 201
    refund = await acme.post(f"{wallet}/spends/{quote(odd, safe='')}/refund")
    assert (refund.status_code, refund.json()["amount"]) == (201, 5)
    for below in ("inbox", "badges", "quests", "wallets", "wallets/POINTS", "wallets/POINTS/transfers"):
        assert (await acme.get(f"{user}/{below}")).status_code == 200, below
    assert (await acme.get(user)).json()["user_id"] == odd
    assert (await acme.delete(user, headers={"If-Match": "*"})).status_code == 204
    assert (await acme.get(user)).json()["detail"] == f"there is no user {odd}"


async def test_ids_that_differ_in_spelling_only_are_not_one(acme: AsyncClient) -> None:
    for number, user_id in enumerate(("a/b", "a%2Fb", "a%2fb")):
        path = f"/v1/users/{quote(user_id, safe='')}"
        assert (await acme.put(path, json={"attributes": {"age": number}})).status_code == 201
    assert (await acme.get("/v1/users/%61%2fb")).json()["attributes"] == {"age": 0}
    assert (await acme.get("/v1/users/a%252Fb")).json()["attributes"] == {"age": 1}
    assert (await acme.get("/v1/users/a/b")).status_code == 404


DOTTED = PLACES | {
    "user": ("PUT", "/v1/users/LONG", {"attributes": {}}),
    "wallet": ("GET", "/v1/users/LONG/wallets", None),
}
DOTTED["reservation"] = ("POST", "/v1/coupons/A/reservations", {"reservation_id": LONG})


@pytest.mark.parametrize("dots", [".", ".."])
@pytest.mark.parametrize("place", DOTTED)
async def test_a_segment_that_clients_take_out_of_a_path_is_no_id(acme: AsyncClient, place: str, dots: str) -> None:
    method, path, body = DOTTED[place]
    path = path.replace("LONG", dots.replace(".", "%2E"))
    answer = await acme.request(method, path, json=replace(body, dots), headers={"Idempotency-Key": "once"})
    assert answer.status_code == 422, answer.text
    assert "must not be . or .." in answer.text


def replace(body: object, dots: str) -> object:
    """A body with `dots` where it had LONG."""
    if isinstance(body, dict):
        return {name: replace(value, dots) for name, value in body.items()}
    return [replace(each, dots) for each in body] if isinstance(body, list) else dots if body == LONG else body


def test_every_id_of_a_path_is_one_of_these_or_has_a_plain_pattern() -> None:
    """To add one, say above how it can be named."""
    names = {name for router in ROUTERS for route in router.routes for name in route.param_convertors}  # type: ignore[attr-defined]
    free = {"user_id", "spend_id", "hold_id", "reversal_id", "event_id", "source"}
    plain = {
        "name",
        "cohort_id",
        "list_id",
        "tenant_id",
        "campaign_id",
        "limit_id",
        "pool_id",
        "badge_id",
        "currency",
        "import_id",
        "leaderboard_id",
    }
    dotted = {"code", "reservation_id"}
    assert names == free | plain | dotted | {"order"} | {
        "incentive_id", "generation_id", "build_id", "backtest_id", "erasure_id", "decision_id", "key_id", "rejection_id",
    }  # fmt: skip
