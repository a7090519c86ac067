"""Cohorts: lists uploaded whole, each a new version, never half applied."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from httpx import AsyncClient, Response
from sqlalchemy import text
from starlette.types import Message

from fillip.manage.api import cohorts
from fillip.manage.cohort import postgres
from fillip.manage.upload.upload import MAX_UPLOAD_BYTES
from fillip.match.members_postgres import PostgresFormerMembers
from fillip.migrations import role_dsn
from tests.manage.conftest import Plane
from tests.manage.ledger_rows import put_instance
from tests.manage.shop import ANY

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
    messages: Iterator[Message] = iter(
        [{"type": "http.request", "body": b"linus\n", "more_body": True}, {"type": "http.disconnect"}]
    )

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


async def test_more_users_than_a_cohort_or_all_may_have_are_refused(
    acme: AsyncClient, plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given bounds that a test can reach: too long a list while it streams, too many in all before anything is written."""
    monkeypatch.setattr(cohorts, "MAX_MEMBERS", 5)
    monkeypatch.setattr(postgres, "MAX_ALL_MEMBERS", 6)
    assert (await upload(acme, b"a\nb\nc\nd\ne\nf\n")).status_code == 413
    assert (await upload(acme, b"a\nb\nc\nd\ne\n")).status_code == 200
    assert (await acme.post("/v1/cohorts", json={"cohort_id": "more", "name": "More"})).status_code == 201
    path = "/v1/cohorts/more/members"
    assert (await acme.put(path, content=b"x\ny\n", headers=CSV)).status_code == 409
    assert (await acme.put(path, content=b"x\nx\n", headers=CSV)).status_code == 200
    assert await count_left(plane) == {"in force": 2, "left": 1}  # vip's first list


async def count_left(plane: Plane) -> dict[str, int]:
    """How many lists of members are in force, left, or neither."""
    query = text(
        "SELECT CASE WHEN is_in_force THEN 'in force' WHEN is_left THEN 'left' ELSE 'begun' END, count(*)"
        " FROM cohort_content GROUP BY 1"
    )
    async with plane.owner.connect() as connection:
        return {row[0]: row[1] for row in await connection.execute(query)}


async def test_a_list_that_changed_meanwhile_stays_and_the_new_one_is_left(acme: AsyncClient, plane: Plane) -> None:
    """Given an upload for a revision, when another comes first, then it is refused and what it wrote is left."""
    tag = (await acme.get("/v1/cohorts/vip")).headers["ETag"]
    path, headers = "/v1/cohorts/vip/members", CSV | {"If-Match": tag}
    lines = b"".join(b"u%05d\n" % n for n in range(3_000))
    answers = await asyncio.gather(*(acme.put(path, content=lines, headers=headers) for _ in range(2)))
    assert sorted(answer.status_code for answer in answers) == [200, 412]
    assert (await acme.get("/v1/cohorts/vip")).json()["size"] == 3_000
    assert (await count_left(plane))["in force"] == 1
    assert "begun" not in await count_left(plane)


async def test_what_no_cohort_names_is_swept_in_pieces(acme: AsyncClient, plane: Plane) -> None:
    """Given a former list, a deleted cohort's and one of an upload that broke down long ago: all are removed, no other."""
    lines = b"".join(b"user-number-%06d\n" % n for n in range(40_000))
    assert (await upload(acme, lines)).status_code == 200  # 360 parts
    assert (await upload(acme, b"ada\ngrace\n")).status_code == 200
    await acme.post("/v1/cohorts", json={"cohort_id": "gone", "name": "Gone"})
    await acme.put("/v1/cohorts/gone/members", content=b"eve\n", headers=CSV)
    await acme.delete("/v1/cohorts/gone", headers=CSV)
    async with plane.owner.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO cohort_content (tenant_id, made_at) VALUES ('acme', now()), ('acme', now() - interval '2 h')"
            )
        )
    assert await count_left(plane) == {"in force": 1, "left": 3, "begun": 2}
    async with (
        asyncpg.create_pool(role_dsn(plane.dsn, "fillip_sweep"), min_size=1, max_size=1) as finder,
        asyncpg.create_pool(role_dsn(plane.dsn, "fillip_worker"), min_size=1, max_size=1) as pool,
    ):
        due = PostgresFormerMembers(finder, pool)
        moved = [await due.move_due(datetime.now(UTC)) for _ in range(12)]
    assert (max(moved), moved[-1]) == (256, 0)
    assert await count_left(plane) == {"in force": 1, "begun": 1}
    async with plane.owner.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM cohort_part"))).scalar_one() == 1
    assert await list_members(acme) == ["ada", "grace"]


async def test_ids_of_all_kinds_are_found_again(acme: AsyncClient) -> None:
    """Sorted by their bytes, whatever they are, page by page; and a rule's question finds each."""
    ids = sorted({"Ada", "ada", "Ärger", "ünal", "日本", "z" * 256, "a b", "a\tb", "-", "~", "0"}, key=str.encode)
    ids = sorted({*ids, *(f"user {n:04}" for n in range(3_000))}, key=str.encode)
    lines = [f'"{user_id}"' if "\t" in user_id else user_id for user_id in ids]
    assert (await upload(acme, "\n".join(lines).encode())).json()["size"] == len(ids)
    seen: list[str] = []
    cursor = None
    while not seen or cursor:
        params = {"limit": 200} | ({"cursor": cursor} if cursor else {})
        page = (await acme.get("/v1/cohorts/vip/members", params=params)).json()
        seen += [member["user_id"] for member in page["items"]]
        cursor = page["next_cursor"]
    assert seen == ids


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


FROZEN = '!("frozen" in cohorts)'
BUYS: dict[str, Any] = {"kind": "SIMPLE", "name": "C", "action": "BUY", "rewards": [{"kind": "cashback", "value": 7}]}
STEP: dict[str, Any] = {"name": "buy", "action": "BUY"}


def quest(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A quest of these steps."""
    return {"kind": "QUEST", "name": "Q", "quest": {"steps": steps, **more}, "rewards": BUYS["rewards"]}


ASKING: dict[str, dict[str, Any]] = {
    "field": BUYS | {"cohorts": ["frozen"]},
    "rule": BUYS | {"rule": FROZEN},
    "step": quest(STEP, STEP | {"name": "more", "rule": FROZEN}),
    "late-step": quest(STEP | {"rule": f"progress.done == 0 && {FROZEN}"}),
    "sum": quest(STEP | {"sum": f"{FROZEN} ? 1 : 0", "at_least": 3}),
    "start": quest(STEP, start={"at": "event", "action": "BUY", "rule": FROZEN}),
    "formula": BUYS | {"rewards": [{"kind": "cashback", "formula": {"of": f"{FROZEN} ? 7 : 0"}}]},
    "any": BUYS | {"rule": 'cohorts.exists(c, c.startsWith("fr"))'},
}


async def open_frozen(client: AsyncClient) -> None:
    """The action BUY and the cohort frozen."""
    await client.put("/v1/actions/BUY", json={"schema": {"type": "object", "properties": {}}})
    assert (await client.post("/v1/cohorts", json={"cohort_id": "frozen", "name": "Frozen"})).status_code == 201


@pytest.mark.parametrize("name", sorted(ASKING))
async def test_a_cohort_that_an_expression_asks_for_stays_until_the_campaign_is_archived(
    acme: AsyncClient, name: str
) -> None:
    await open_frozen(acme)
    assert (await acme.post("/v1/campaigns", json={"campaign_id": name, "definition": ASKING[name]})).status_code == 201
    for order in ("launch", "pause", "end", "archive"):  # first of all as a draft
        refused = await acme.delete("/v1/cohorts/frozen", headers=ANY)
        assert (refused.status_code, f"campaigns: {name}" in refused.json()["detail"]) == (409, True), refused.text
        assert (await acme.post(f"/v1/campaigns/{name}/{order}", headers=ANY)).status_code == 200
    assert (await acme.delete("/v1/cohorts/frozen", headers=ANY)).status_code == 204


async def test_a_cohort_of_a_version_that_is_kept_for_open_instances_stays(acme: AsyncClient, plane: Plane) -> None:
    await open_frozen(acme)
    visit = STEP | {"name": "visit", "count": 3}
    asking = quest(visit | {"rule": FROZEN})
    assert (await acme.post("/v1/campaigns", json={"campaign_id": "q", "definition": asking})).status_code == 201
    assert (await acme.post("/v1/campaigns/q/launch", headers=ANY)).status_code == 200
    put_instance(plane.dsn, "q", "open", 1)
    later = quest(visit)
    changed = await acme.put("/v1/campaigns/q?open_instances=keep", json=later, headers=ANY)
    assert changed.json()["kept_versions"] == [1], changed.text
    assert (await acme.delete("/v1/cohorts/frozen", headers=ANY)).status_code == 409
    changed = await acme.put("/v1/campaigns/q?open_instances=migrate", json=later, headers=ANY)
    assert changed.json()["kept_versions"] == [], changed.text
    assert (await acme.delete("/v1/cohorts/frozen", headers=ANY)).status_code == 204


async def test_a_cohort_that_is_misspelt_is_refused_with_its_place(acme: AsyncClient) -> None:
    await open_frozen(acme)
    for name in sorted(set(ASKING) - {"any", "field"}):
        wrong = json.loads(json.dumps(ASKING[name]).replace("frozen", "frozne"))
        refused = await acme.post("/v1/campaigns", json={"definition": wrong})
        assert refused.status_code == 422, name
        assert "there is no cohort 'frozne': make it first, by POST /v1/cohorts" in refused.text
        assert "line 1, column" in refused.text


async def test_a_cohort_before_its_first_list_has_no_members(acme: AsyncClient) -> None:
    await acme.post("/v1/cohorts", json={"cohort_id": "new", "name": "New"})
    assert (await acme.get("/v1/cohorts/new/members")).json() == {"items": [], "next_cursor": None}
    assert (await acme.put("/v1/cohorts/new/members", content=b"user_id\n", headers=CSV)).json()["size"] == 0
    assert (await acme.get("/v1/cohorts/new/members")).json() == {"items": [], "next_cursor": None}
    assert (await acme.delete("/v1/cohorts/new", headers=CSV)).status_code == 204
