"""Cohorts: lists uploaded whole, each a new version, never half applied."""

from collections.abc import AsyncIterator

import pytest
from httpx import AsyncClient, Response
from sqlalchemy import text
from starlette.types import Message

from fillip.manage.upload import MAX_UPLOAD_BYTES
from tests.manage.conftest import Plane

CSV = {"Content-Type": "text/csv; charset=utf-8", "If-Match": "*"}


@pytest.fixture(autouse=True)
async def vip(acme: AsyncClient) -> None:
    """Given a cohort `vip` of two."""
    assert (await acme.post("/v1/cohorts", json={"cohort_id": "vip", "name": "VIP"})).status_code == 201
    assert (await upload(acme, b"user_id\nada\ngrace\n")).status_code == 200


async def upload(client: AsyncClient, content: bytes, **headers: str) -> Response:
    """Upload a list to `vip`."""
    return await client.put("/v1/cohorts/vip/members", content=content, headers=CSV | headers)


async def list_members(client: AsyncClient) -> list[str]:
    """The members of `vip`."""
    answer = await client.get("/v1/cohorts/vip/members")
    return [member["user_id"] for member in answer.json()["items"]]


async def test_an_upload_is_a_new_version_and_a_change_of_the_book(acme: AsyncClient, plane: Plane) -> None:
    answer = await upload(acme, b"grace\nlinus\nlinus\ngrace\n")
    assert answer.json() == {"cohort_id": "vip", "version": 2, "size": 2, "duplicates": 2}
    assert await list_members(acme) == ["grace", "linus"]
    cohort = await acme.get("/v1/cohorts/vip")
    assert cohort.headers["ETag"] == answer.headers["ETag"]
    assert (cohort.json()["version"], cohort.json()["size"]) == (2, 2)
    async with plane.owner.connect() as connection:
        changes = text("SELECT document FROM book_change WHERE kind = 'cohort' ORDER BY book_version")
        documents = (await connection.execute(changes)).scalars().all()
    assert documents == [{"cohort_id": "vip", "version": v, "size": size} for v, size in ((0, 0), (1, 2), (2, 2))]


async def test_a_broken_line_is_named_and_nothing_is_applied(acme: AsyncClient) -> None:
    answer = await upload(acme, b"user_id\nlinus\n\nken\n")
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"at": "line 3", "message": "empty"}]
    assert await list_members(acme) == ["ada", "grace"]
    assert (await acme.get("/v1/cohorts/vip")).json()["version"] == 1


async def test_a_broken_connection_applies_nothing(acme: AsyncClient, plane: Plane) -> None:
    """Given an upload under way, when its client goes away, then the list in force stays and nobody is answered."""
    path, sent = "/v1/cohorts/vip/members", []
    headers = CSV | {"Authorization": f"Bearer {plane.keys['acme']}"}
    scope = {
        "type": "http",
        "method": "PUT",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    messages = iter([{"type": "http.request", "body": b"linus\n", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    await plane.app(scope, receive, send)
    assert (sent, next(messages, None)) == ([], None)
    assert await list_members(acme) == ["ada", "grace"]


async def test_uploads_are_bounded_typed_and_matched(acme: AsyncClient) -> None:
    async def pour() -> AsyncIterator[bytes]:
        for _ in range(MAX_UPLOAD_BYTES // 2**20 + 1):
            yield b"x\n" * 2**19

    assert (await acme.put("/v1/cohorts/vip/members", content=pour(), headers=CSV)).status_code == 413
    assert (await upload(acme, b"x\n", **{"Content-Type": "application/json"})).status_code == 415
    assert (await upload(acme, b"x\n", **{"If-Match": '"9"'})).status_code == 412
    assert (await acme.put("/v1/cohorts/none/members", content=b"x\n", headers=CSV)).status_code == 404
    assert await list_members(acme) == ["ada", "grace"]


async def test_many_members_come_page_by_page(acme: AsyncClient) -> None:
    lines = b"".join(b"u%05d\n" % n for n in range(30_000))
    assert (await upload(acme, lines)).json()["size"] == 30_000
    first = (await acme.get("/v1/cohorts/vip/members", params={"limit": 200})).json()
    second = (await acme.get("/v1/cohorts/vip/members", params={"limit": 200, "cursor": first["next_cursor"]})).json()
    ids = [member["user_id"] for page in (first, second) for member in page["items"]]
    assert ids == [f"u{n:05}" for n in range(400)]


async def test_a_cohort_that_a_campaign_names_stays(acme: AsyncClient) -> None:
    await acme.put("/v1/actions/BUY", json={"schema": {"type": "object", "properties": {}}})
    campaign = {"kind": "SIMPLE", "name": "C", "action": "BUY", "cohorts": ["vip"], "rewards": [{"kind": "badge"}]}
    made = await acme.post("/v1/campaigns", json={"campaign_id": "c", "definition": campaign})
    assert made.status_code == 201, made.text
    assert (await acme.delete("/v1/cohorts/vip", headers={"If-Match": "*"})).status_code == 409
    await acme.post("/v1/campaigns/c/archive", headers={"If-Match": "*"})
    assert (await acme.delete("/v1/cohorts/vip", headers={"If-Match": "*"})).status_code == 204
    assert (await acme.get("/v1/cohorts/vip")).status_code == 404
