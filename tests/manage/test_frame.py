"""What holds for every operation: problems, bounds, idempotency, pages, trace ids."""

import asyncio

import pytest
from httpx import AsyncClient
from sqlalchemy import text

from fillip.manage.store.postgres import open_engine
from tests.manage.conftest import Plane

JSON = {"Content-Type": "application/json"}
COHORT = {"cohort_id": "vip", "name": "VIP"}


@pytest.mark.parametrize(
    ("content", "headers", "status", "kind"),
    [
        (b"{", JSON, 400, "malformed"),
        (b"\xff", JSON, 400, "malformed"),
        (b'"\\ud800"', JSON, 400, "malformed"),
        (b'{"attributes":{"tier":"a\\u0000"}}', JSON, 400, "malformed"),
        (b'{"attributes":' + b"[" * 40 + b"]" * 40 + b"}", JSON, 400, "malformed"),
        (b"[" * 100_000, JSON, 400, "malformed"),
        (b'{"attributes":{"a":"' + b"x" * 1_048_576 + b'"}}', JSON, 413, "too-large"),
        (b"attributes=1", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "unsupported-media-type"),
        (b"", JSON, 422, "invalid"),
        (b"[]", JSON, 422, "invalid"),
        (b'{"attributes":{},"more":1}', JSON, 422, "invalid"),
    ],
)
async def test_bad_bodies_are_problems(
    acme: AsyncClient, content: bytes, headers: dict[str, str], status: int, kind: str
) -> None:
    answer = await acme.put("/v1/users/ada", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == f"https://fillip.dev/problems/{kind}"
    assert (problem["status"], problem["instance"]) == (status, "/v1/users/ada")
    assert problem["trace_id"] == answer.headers["Trace-Id"]


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        (
            "/v1/grants",
            {"grant_id": "g", "who": 1},
            {"/who": "grant_id, user_id, campaign_id, reason", "/reason": "needed"},
        ),
        ("/v1/users/ada/merges", {"merge_id": "m", "from_user_id": "b"}, {"/from_user_id": "merge_id, from, reason"}),
        ("/v1/users/ada/merges", {"merge_id": "m", "from": "b", "reason": " "}, {"/reason": "spaces alone"}),
        ("/v1/limits", [], {"": "must be an object"}),
        (
            "/v1/campaigns",
            {
                "campaign_id": "Bad",
                "definition": {"quest": {"instance": {"keys": "x"}}, "schedule": {"starts_at": "soon"}},
            },
            {
                "/campaign_id": "such as spring-cashback",
                "/definition/quest/instance/keys": "known here: key",
                "/definition/schedule/starts_at": "or a date-time such as",
                "/definition/quest/steps": "needed",
            },
        ),
    ],
)
async def test_what_is_wrong_with_a_body_is_told_where_it_stands_and_what_would_be_right(
    acme: AsyncClient, path: str, body: object, told: dict[str, str]
) -> None:
    answer = await acme.post(path, json=body)
    faults = {fault["at"]: fault["message"] for fault in answer.json()["errors"]}
    assert answer.status_code == 422 and faults.keys() >= told.keys()
    assert {at: words for at, words in told.items() if words not in faults[at]} == {}
    assert not [message for message in faults.values() if message.startswith("Value error")]


async def test_addresses_that_are_not_there_are_problems(acme: AsyncClient) -> None:
    for method, path, status in (
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/users/nobody", 404),
        ("POST", "/v1/users/ada", 405),
        ("GET", "/v1/users/a%00b", 400),
        ("GET", "/v1/users?user_id=a%00b", 400),
        ("GET", "/v1/users?limit=0", 422),
        ("GET", "/v1/users?cursor=nonsense", 422),
        ("DELETE", "/v1/keys/not-a-uuid", 422),
    ):
        answer = await acme.request(method, path)
        assert (path, answer.status_code) == (path, status)
        assert answer.headers["Content-Type"] == "application/problem+json"


async def test_the_trace_id_comes_from_the_caller(acme: AsyncClient) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    traced = await acme.get("/v1/users", headers={"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"})
    assert traced.headers["Trace-Id"] == trace_id
    assert len((await acme.get("/v1/users")).headers["Trace-Id"]) == 32


async def test_a_post_with_a_key_happens_once(acme: AsyncClient, rival: AsyncClient) -> None:
    keyed = {"Idempotency-Key": "one"}
    first = await acme.post("/v1/cohorts", json=COHORT, headers=keyed)
    again = await acme.post("/v1/cohorts", json=COHORT, headers=keyed)
    assert (again.status_code, again.content) == (201, first.content)
    assert (again.headers["ETag"], again.headers["Location"]) == (first.headers["ETag"], first.headers["Location"])
    assert again.headers["Idempotency-Replayed"] == "true"
    other = await acme.post("/v1/cohorts", json=COHORT | {"name": "x"}, headers=keyed)
    assert (other.status_code, other.json()["type"]) == (422, "https://fillip.dev/problems/idempotency-key-reused")
    assert (await rival.post("/v1/cohorts", json=COHORT, headers=keyed)).headers.get("Idempotency-Replayed") is None


async def test_a_failed_post_leaves_its_key_free(acme: AsyncClient) -> None:
    keyed = {"Idempotency-Key": "one"}
    assert (await acme.post("/v1/cohorts", json={}, headers=keyed)).status_code == 422
    assert (await acme.post("/v1/cohorts", json=COHORT, headers=keyed)).status_code == 201


async def test_an_old_key_may_be_used_again(acme: AsyncClient, plane: Plane) -> None:
    keyed = {"Idempotency-Key": "one"}
    await acme.post("/v1/cohorts", json=COHORT, headers=keyed)
    async with plane.owner.begin() as connection:
        await connection.execute(text("UPDATE idempotency SET created_at = now() - interval '25 hours'"))
    later = await acme.post("/v1/cohorts", json=COHORT | {"cohort_id": "new"}, headers=keyed)
    assert (later.status_code, later.json()["cohort_id"]) == (201, "new")


async def test_a_request_in_flight_holds_its_key(acme: AsyncClient, plane: Plane) -> None:
    async with plane.engine.connect() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(E'acme\\none', 0))"))
        answer = await acme.post("/v1/cohorts", json=COHORT, headers={"Idempotency-Key": "one"})
    assert (answer.status_code, answer.json()["type"]) == (409, "https://fillip.dev/problems/idempotency-in-flight")


async def test_of_many_equal_posts_at_once_one_takes_effect(acme: AsyncClient, plane: Plane) -> None:
    posts = [acme.post("/v1/cohorts", json=COHORT, headers={"Idempotency-Key": "one"}) for _ in range(8)]
    answers = await asyncio.gather(*posts)
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert sum(a.status_code == 201 and "Idempotency-Replayed" not in a.headers for a in answers) == 1
    async with plane.owner.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM cohort"))).scalar_one() == 1


async def test_pages_give_every_item_once(acme: AsyncClient) -> None:
    names = [f"u{n}" for n in range(11)]
    users = [{"user_id": name, "attributes": {}} for name in names]
    await acme.post("/v1/users:bulk", json={"users": users})
    seen: list[str] = []
    cursor = None
    while True:
        page = (await acme.get("/v1/users", params={"limit": 5} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [user["user_id"] for user in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(seen) == sorted(names)


async def test_without_a_database_the_answer_is_503(acme: AsyncClient, plane: Plane) -> None:
    """Given a key that is still believed, when the database is away, then a problem says to try again."""
    await acme.get("/v1/users")
    app_state = plane.app.state.app_state
    away = open_engine("postgresql://nobody:x@127.0.0.1:1/none")
    plane.app.state.app_state = type(app_state)(
        away, away, app_state.keys, app_state.operator_key, app_state.gateway_url, None
    )
    answer = await acme.get("/v1/users")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_a_server_error_tells_nothing(acme: AsyncClient, plane: Plane) -> None:
    async with plane.owner.begin() as connection:
        await connection.execute(text("ALTER TABLE action RENAME COLUMN schema TO secret_name"))
    answer = await acme.get("/v1/actions")
    assert (answer.status_code, answer.json()["type"]) == (500, "https://fillip.dev/problems/internal")
    assert "secret_name" not in answer.text and "SELECT" not in answer.text


async def test_openapi_is_3_1_and_describes_problems(plane: Plane) -> None:
    client = await plane.client()
    schema = (await client.get("/openapi.json")).json()
    assert schema["openapi"].startswith("3.1")
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            assert "application/problem+json" in operation["responses"]["default"]["content"], (method, path)
            assert operation["security"], (method, path)
