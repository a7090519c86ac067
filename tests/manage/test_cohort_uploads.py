"""Lists of cohorts: replaced, added to and removed from, each change a new version, never half applied."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from httpx import AsyncClient, Response
from sqlalchemy import text
from starlette.types import Message

from fillip.manage.api import cohorts
from fillip.manage.cohort import numbering_postgres, postgres
from fillip.manage.upload import rejections
from fillip.match import members_postgres
from fillip.match.members_postgres import PostgresFormerMembers
from fillip.migrations import role_dsn
from tests.manage.conftest import Plane

CSV = {"Content-Type": "text/csv; charset=utf-8", "If-Match": "*"}
PATH = "/v1/cohorts/vip/members"


@pytest.fixture(autouse=True)
async def vip(acme: AsyncClient) -> None:
    """Given a cohort `vip` of two."""
    assert (await acme.post("/v1/cohorts", json={"cohort_id": "vip", "name": "VIP"})).status_code == 201
    assert (await upload(acme, b"user_id\nada\ngrace\n")).status_code == 200


async def upload(client: AsyncClient, content: bytes, query: str = "", **headers: str) -> Response:
    """Replace the list of `vip`."""
    return await client.put(f"{PATH}{query}", content=content, headers=CSV | headers)


async def change(client: AsyncClient, how: str, content: bytes, query: str = "", **headers: str) -> Response:
    """Add users to `vip`, or remove them."""
    headers = {"Content-Type": "text/csv"} | headers
    return await client.post(f"{PATH}?change={how}{query}", content=content, headers=headers)


async def list_members(client: AsyncClient, limit: int = 200) -> list[str]:
    """The members of `vip`, page by page."""
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await client.get(PATH, params={"limit": limit} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [member["user_id"] for member in page["items"]]
        cursor = page["next_cursor"]
    return seen


async def test_an_upload_is_a_new_version_and_a_change_of_the_book(acme: AsyncClient, plane: Plane) -> None:
    answer = await upload(acme, b"grace\nlinus\nlinus\ngrace\n")
    told = {
        "version": 2,
        "size": 2,
        "duplicates": 2,
        "added": 1,
        "removed": 1,
        "lines": 4,
        "rejected": 0,
        "to_number": 1,
    }
    assert answer.json().items() >= {"state": "done", "change": "replace", "error": None, **told}.items()
    assert await list_members(acme) == ["grace", "linus"]
    cohort = await acme.get("/v1/cohorts/vip")
    assert cohort.headers["ETag"] == answer.headers["ETag"]
    assert (cohort.json()["version"], cohort.json()["size"], cohort.json()["last_error"]) == (2, 2, None)
    assert cohort.json()["built_at"] is not None
    async with plane.owner.connect() as connection:
        changes = text("SELECT document FROM book_change WHERE kind = 'cohort' ORDER BY book_version")
        documents = (await connection.execute(changes)).scalars().all()
    assert documents == [{"cohort_id": "vip", "version": v, "size": size} for v, size in ((0, 0), (1, 2), (2, 2))]


async def test_users_are_added_and_removed_by_csv_and_ndjson(acme: AsyncClient) -> None:
    added = await change(acme, "add", b"linus\nada\n")
    assert (added.json()["added"], added.json()["duplicates"], added.json()["size"]) == (1, 0, 3)
    ndjson = {"Content-Type": "application/x-ndjson"}
    removed = await change(acme, "remove", b'{"user_id": "grace"}\n{"user_id": "nobody"}\n', **ndjson)
    assert (removed.json()["removed"], removed.json()["to_number"], removed.json()["size"]) == (1, 0, 2)
    assert sorted(await list_members(acme)) == ["ada", "linus"]
    builds = (await acme.get("/v1/cohorts/vip/builds")).json()["items"]
    assert [(build["change"], build["version"]) for build in builds] == [("remove", 3), ("add", 2), ("replace", 1)]
    assert (await acme.get(f"/v1/cohorts/vip/builds/{builds[0]['build_id']}")).json() == builds[0] == removed.json()
    assert (await change(acme, "double", b"ada\n")).status_code == 422


async def test_changes_that_come_at_once_all_count(acme: AsyncClient) -> None:
    answers = await asyncio.gather(*(change(acme, "add", f"user-{n}\nboth\n".encode()) for n in range(6)))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(await list_members(acme)) == ["ada", "both", "grace", *(f"user-{n}" for n in range(6))]
    assert (await acme.get("/v1/cohorts/vip")).json()["version"] == 7


async def test_lists_that_name_new_users_at_once_give_each_one_number(
    acme: AsyncClient, plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given portions that take turns, then the numbers have no gap, and every list has its own users."""
    monkeypatch.setattr(numbering_postgres, "PORTION_USERS", 7)
    await acme.post("/v1/cohorts", json={"cohort_id": "more", "name": "More"})
    lines = ["".join(f"u{n:03}\n" for n in range(start, start + 60)).encode() for start in (0, 30)]
    answers = await asyncio.gather(
        upload(acme, lines[0]), acme.put("/v1/cohorts/more/members", content=lines[1], headers=CSV)
    )
    assert [answer.json()["size"] for answer in answers] == [60, 60], [answer.text for answer in answers]
    assert sorted(await list_members(acme)) == [f"u{n:03}" for n in range(60)]
    async with plane.owner.connect() as connection:
        counted = text(
            "SELECT count(*), min(number), max(number), (SELECT numbered FROM user_numbering) FROM user_number"
        )
        assert tuple((await connection.execute(counted)).one()) == (92, 0, 91, 92)
    overlap = await acme.get("/v1/cohorts/vip/overlap", params={"other": "more"})
    told = {"cohort_id": "vip", "size": 60, "other_id": "more", "other_size": 60, "both": 30}
    assert overlap.json() == told


async def read_failed(client: AsyncClient) -> str:
    """Why the newest build of `vip` failed; the cohort says the same, and its list stays."""
    newest = (await client.get("/v1/cohorts/vip/builds?limit=1")).json()["items"][0]
    assert (newest["state"], newest["version"]) == ("failed", None)
    assert (await client.get("/v1/cohorts/vip")).json()["last_error"] == newest["error"]
    return str(newest["error"])


async def test_a_broken_line_is_named_and_nothing_is_applied(acme: AsyncClient) -> None:
    answer = await upload(acme, b"user_id\nlinus\n\nken\n=cmd\xff\n")
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"at": "line 3", "message": "empty"}]
    assert await list_members(acme) == ["ada", "grace"]
    cohort = (await acme.get("/v1/cohorts/vip")).json()
    assert (cohort["version"], cohort["last_error"]) == (1, answer.json()["detail"])
    (build, _) = (await acme.get("/v1/cohorts/vip/builds")).json()["items"]
    assert (build["state"], build["lines"], build["rejected"]) == ("refused", 2, 2)
    path = f"/v1/cohorts/vip/builds/{build['build_id']}/rejected"
    assert path in answer.json()["detail"]
    rejected = await acme.get(path)
    assert rejected.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert rejected.text == "line,reason,text\n3,empty,\n5,not UTF-8,'=cmd\\xff\n"


async def test_the_other_lines_are_taken_where_that_is_asked_for(
    acme: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejections, "MAX_KEPT", 3)
    answer = await upload(acme, b"linus\n" + b"..\n" * 5 + b"ken\n", "?skip_rejected=true")
    assert (answer.json()["state"], answer.json()["rejected"], answer.json()["size"]) == ("done", 5, 2)
    assert await list_members(acme) == ["ken", "linus"]
    kept = await acme.get(f"/v1/cohorts/vip/builds/{answer.json()['build_id']}/rejected")
    assert len(kept.text.splitlines()) == 1 + 3


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("user_id\nada\n".encode("utf-16"), "UTF-16"),
        (gzip.compress(b"ada\n", mtime=0), "Content-Encoding: gzip"),
        (b"PK\x03\x04" + b"x" * 50, "spreadsheet"),
        (b"ada\n" + b"x" * 10_000, "line 2: longer than 4096 bytes"),
        (b"UserID\nada\n", "looks like a header"),
    ],
    ids=["UTF-16", "gzip", "zip", "a long line", "a header"],
)
async def test_what_is_no_list_is_refused_as_a_whole(acme: AsyncClient, content: bytes, what: str) -> None:
    answer = await upload(acme, content, "?skip_rejected=true")
    assert (answer.status_code, what in answer.json()["detail"]) == (422, True), answer.text
    assert await read_failed(acme) == answer.json()["detail"]
    assert await list_members(acme) == ["ada", "grace"]


async def test_a_list_may_come_compressed_and_a_bomb_may_not(
    acme: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = {"Content-Encoding": "gzip"}
    lines = b"".join(b"u%05d\n" % n for n in range(20_000))
    two = gzip.compress(lines[:60_000]) + gzip.compress(lines[60_000:])  # as pigz and cat make them
    assert (await upload(acme, two, **packed)).json()["size"] == 20_000
    assert (await upload(acme, two[:-9], **packed)).status_code == 400
    assert await read_failed(acme) == "behind line 19,999: the body ends in the middle of its gzip: send it again"
    assert (await upload(acme, lines, **packed)).status_code == 400
    assert (await upload(acme, lines, **{"Content-Encoding": "br"})).status_code == 415
    monkeypatch.setattr(cohorts, "MAX_LIST_BYTES", 2**20)
    bomb = gzip.compress(b"x\n" * 2**22)
    assert len(bomb) < 2**15
    assert (await upload(acme, bomb, **packed)).status_code == 413
    assert (await acme.get("/v1/cohorts/vip")).json()["size"] == 20_000


async def test_a_broken_connection_applies_nothing(acme: AsyncClient, plane: Plane) -> None:
    """Given an upload under way, when its client goes away, then the list in force stays and nobody is answered."""
    sent: list[Message] = []
    headers = CSV | {"Authorization": f"Bearer {plane.keys['acme']}"}
    scope = {
        "type": "http",
        "method": "PUT",
        "path": PATH,
        "raw_path": PATH.encode(),
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
    assert await read_failed(acme) == "behind line 1: the connection ended before the list did"
    assert await list_members(acme) == ["ada", "grace"]


async def test_uploads_are_bounded_typed_and_matched(acme: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cohorts, "MAX_LIST_BYTES", 2**20)

    async def pour() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x\n" * 2**18

    assert (await acme.put(PATH, content=pour(), headers=CSV)).status_code == 413
    assert (await read_failed(acme)).startswith("behind line ")
    assert (await upload(acme, b"x\n" * 2**20)).status_code == 413
    assert (await read_failed(acme)).startswith("before its first line: the list is larger than 1,048,576 bytes")
    assert (await upload(acme, b"x\n", **{"Content-Type": "application/json"})).status_code == 415
    assert (await upload(acme, b"x\n", **{"If-Match": '"9"'})).status_code == 412
    assert (await upload(acme, b"x\n", Prefer="return=minimal")).status_code == 422
    assert (await acme.put("/v1/cohorts/none/members", content=b"x\n", headers=CSV)).status_code == 404
    assert await list_members(acme) == ["ada", "grace"]


async def test_no_more_lists_come_in_at_once_than_have_room(acme: AsyncClient, plane: Plane) -> None:
    coming = plane.app.state.app_state.coming
    held = [await coming.acquire() for _ in range(coming._value)]
    assert (await upload(acme, b"x\n")).status_code == 503
    for _ in held:
        coming.release()
    assert (await upload(acme, b"x\n")).status_code == 200


async def test_more_users_than_a_cohort_or_all_may_have_are_refused(
    acme: AsyncClient, plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given bounds that a test can reach: too long a list while it streams, too much in all before it is in force."""
    monkeypatch.setattr(cohorts, "MAX_LINES", 5)
    monkeypatch.setattr(postgres, "MAX_ALL_BYTES", 29)
    assert (await upload(acme, b"a\nb\nc\nd\ne\nf\n")).status_code == 413
    assert (await upload(acme, b"a\nb\nc\nd\ne\n")).status_code == 200
    assert (await acme.post("/v1/cohorts", json={"cohort_id": "more", "name": "More"})).status_code == 201
    path = "/v1/cohorts/more/members"
    assert (await acme.put(path, content=b"v\nw\nx\ny\nz\n", headers=CSV)).status_code == 409
    (build,) = (await acme.get("/v1/cohorts/more/builds")).json()["items"]
    assert (build["state"], build["size"], "bytes" in build["error"]) == ("refused", None, True)
    assert (await acme.put(path, content=b"user_id\n", headers=CSV)).status_code == 200
    assert await count_chunks(plane) == {"in force": 1, "left": 1}


async def count_chunks(plane: Plane) -> dict[str, int]:
    """How many chunks of lists are in force, and left."""
    query = text(
        "SELECT CASE WHEN left_at IS NULL THEN 'in force' ELSE 'left' END, count(*) FROM cohort_chunk GROUP BY 1"
    )
    async with plane.owner.connect() as connection:
        return {row[0]: row[1] for row in await connection.execute(query)}


async def test_a_list_that_changed_meanwhile_stays(acme: AsyncClient) -> None:
    """Given an upload for a revision, when another comes first, then it is refused and says so."""
    tag = (await acme.get("/v1/cohorts/vip")).headers["ETag"]
    lines = b"".join(b"u%05d\n" % n for n in range(3_000))
    answers = await asyncio.gather(*(upload(acme, lines, **{"If-Match": tag}) for _ in range(2)))
    assert sorted(answer.status_code for answer in answers) == [200, 412]
    assert (await acme.get("/v1/cohorts/vip")).json()["size"] == 3_000
    states = [build["state"] for build in (await acme.get("/v1/cohorts/vip/builds")).json()["items"]]
    assert sorted(states) == ["done", "done", "refused"]


async def test_nobody_need_wait_for_a_list(acme: AsyncClient, plane: Plane) -> None:
    """Given uploads that are answered before they are taken, then each build tells how it ended; a refused one too."""
    later, builds = {"Prefer": "respond-async"}, plane.app.state.app_state.builds
    lines = b"".join(b"u%05d\n" % n for n in range(3_000))
    answer = await upload(acme, lines, **later)
    assert answer.status_code == 202
    await asyncio.gather(*builds)
    build = (await acme.get(answer.headers["Location"])).json()
    assert (build["state"], build["size"], build["to_number"]) == ("done", 3_000, 3_000)
    assert build["book_version"] <= (await acme.get("/v1/tenant")).json()["book_version"]
    added = await change(acme, "add", b"x\n", **later)
    await asyncio.gather(*builds)
    assert (await acme.get(added.headers["Location"])).json()["size"] == 3_001
    turns = plane.app.state.app_state.uploads
    held = [await turns.acquire() for _ in range(turns._value)]
    stale = await upload(acme, b"y\n", **later | {"If-Match": (await acme.get("/v1/cohorts/vip")).headers["ETag"]})
    async with plane.owner.begin() as connection:
        await connection.execute(text("UPDATE cohort SET revision = revision + 1"))
    for _ in held:
        turns.release()
    await asyncio.gather(*builds)
    assert (await acme.get(stale.headers["Location"])).json()["state"] == "refused"
    assert (await acme.get("/v1/cohorts/vip")).json()["size"] == 3_001
    assert not builds


async def test_a_build_whose_process_ended_is_told_as_failed(acme: AsyncClient, plane: Plane) -> None:
    (build,) = (await acme.get("/v1/cohorts/vip/builds")).json()["items"]
    async with plane.owner.begin() as connection:
        await connection.execute(
            text("UPDATE cohort_build SET state = 'running', updated_at = now() - interval '1 hour'")
        )
    lost = (await acme.get(f"/v1/cohorts/vip/builds/{build['build_id']}")).json()
    assert (lost["state"], lost["error"]) == (
        "failed",
        "its process ended before it did: send the list or run the query again",
    )


async def test_former_lists_are_swept_in_pieces_once_nobody_can_read_them(
    acme: AsyncClient, plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a former list and a deleted cohort's, when an hour has passed, then they are removed, and no other."""
    monkeypatch.setattr(members_postgres, "PIECE_CHUNKS", 2)
    for users in (b"x\n", b"y\n", b"z\n", b"ada\ngrace\n"):
        assert (await upload(acme, users)).status_code == 200
    await acme.post("/v1/cohorts", json={"cohort_id": "gone", "name": "Gone"})
    await acme.put("/v1/cohorts/gone/members", content=b"eve\n", headers=CSV)
    await acme.delete("/v1/cohorts/gone", headers=CSV)
    assert await count_chunks(plane) == {"in force": 1, "left": 5}
    async with (
        asyncpg.create_pool(role_dsn(plane.dsn, "fillip_sweep"), min_size=1, max_size=1) as finder,
        asyncpg.create_pool(role_dsn(plane.dsn, "fillip_worker"), min_size=1, max_size=1) as pool,
    ):
        due = PostgresFormerMembers(finder, pool)
        assert await due.move_due(datetime.now(UTC) + timedelta(minutes=14)) == 0
        later = datetime.now(UTC) + timedelta(minutes=16)
        assert [await due.move_due(later) for _ in range(4)] == [2, 2, 1, 0]
    assert await count_chunks(plane) == {"in force": 1}
    assert await list_members(acme) == ["ada", "grace"]


async def test_ids_of_all_kinds_are_found_again(acme: AsyncClient) -> None:
    """Whatever they are, page by page, each once."""
    ids = {"Ada", "ada", "Ärger", "ünal", "日本", "z" * 256, "a b", "a\tb", "-", "~", "0"}
    ids |= {f"user {n:04}" for n in range(3_000)}
    lines = [f'"{user_id}"' if "\t" in user_id else user_id for user_id in sorted(ids)]
    assert (await upload(acme, "\n".join(lines).encode())).json()["size"] == len(ids)
    seen = await list_members(acme)
    assert (len(seen), set(seen)) == (len(ids), ids)


async def test_members_come_in_the_order_of_their_numbers_page_by_page(acme: AsyncClient, plane: Plane) -> None:
    """Given members in chunks that are far apart, then pages go on from one to the next."""
    lines = b"".join(b"u%05d\n" % n for n in range(500))
    assert (await upload(acme, lines)).json()["size"] == 500
    async with plane.owner.begin() as connection:
        await connection.execute(text("UPDATE user_number SET number = number + 131072 WHERE number > 300"))
        await connection.execute(text("UPDATE user_numbering SET numbered = 200000"))
    assert (await upload(acme, lines)).json()["size"] == 500
    assert await list_members(acme, 150) == [f"u{n:05}" for n in range(500)]
    beyond: dict[str, Any] = {"cursor": "WzkyMjMzNzIwMzY4NTQ3NzU4MDdd"}
    assert (await acme.get(PATH, params=beyond)).json() == {"items": [], "next_cursor": None}
