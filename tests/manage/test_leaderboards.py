"""Leaderboards by the API: defined, changed, read from the top and around a user, as the publisher keeps them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from httpx import AsyncClient
from redis.asyncio import Redis

from fillip.app.valkey import connect_valkey
from fillip.core.local_day import find_day
from fillip.core.projection import BOARD_TENANTS
from fillip.embedded.addresses import Addresses
from fillip.http.cursor import write_cursor
from fillip.migrations import role_dsn
from fillip.publish.board_postgres import PostgresScores
from fillip.publish.board_valkey import ValkeyBoards
from fillip.publish.ranks_valkey import ValkeyRanks
from fillip.publish.touched import Touched
from tests.manage.conftest import Plane
from tests.manage.shop import CASHBACK, launch, open_shop

ANY = {"If-Match": "*"}
BOARD = "/v1/leaderboards/race"


@pytest.fixture
async def boards(plane: Plane, servers: Addresses) -> AsyncIterator[ValkeyBoards]:
    """Kept as the publisher does, from what is in the ledger when it starts. All tests share the server: nothing is left of another's."""
    client = Redis.from_url(servers.valkey_url)  # not by Fillip's own client, which gives up after 50 ms
    plane.app.state.app_state = replace(plane.app.state.app_state, ranks=ValkeyRanks(client))
    await forget(client)
    made = ValkeyBoards(servers.valkey_url, PostgresScores(role_dsn(plane.dsn, "fillip_publish")))
    made.note(Touched(), None)
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await forget(client)
    await client.aclose()


async def forget(client: Redis) -> None:
    names = [name async for name in client.scan_iter(match="board:{acme}*", count=10_000)]
    await client.delete(BOARD_TENANTS, *names)


def grant(dsn: str, user: str, value: int, ago: timedelta = timedelta(), campaign: str = "c") -> None:
    with psycopg.connect(dsn) as owner:
        owner.execute(
            "INSERT INTO incentive (tenant_id, incentive_id, decision_id, campaign_id, user_id, event_id, event_source, reward_index, kind,"
            " value, currency, state, inbox_seq, occurred_at, received_at, taken_at, granted_at)"
            " VALUES ('acme', %s, %s, %s, %s, 'e', '/till', 0, 'points', %s, 'POINTS', 'granted', 1, now(), now(), now(), now() - %s)",
            [uuid4(), uuid4(), campaign, user, value, ago],
        )


async def define(client: AsyncClient, board: str, **parts: Any) -> Any:
    answer = await client.put(f"/v1/leaderboards/{board}", json=parts, headers=ANY)
    assert answer.status_code in (200, 201), answer.text
    return answer


async def read(boards: ValkeyBoards, client: AsyncClient, path: str, **asked: Any) -> Any:
    """What is answered once the board is whole."""
    boards.note(Touched(defined={b"acme"}), None)  # as the publisher hears that one was defined
    async with asyncio.timeout(30):
        while (answer := await client.get(path, params=asked)).status_code == 503:
            assert "is being built" in answer.json()["detail"]
            await asyncio.sleep(0.05)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_leaderboard_is_read_page_by_page_and_around_a_user(
    acme: AsyncClient, rival: AsyncClient, plane: Plane, boards: ValkeyBoards
) -> None:
    for number in range(1, 8):
        grant(plane.dsn, f"u{number}", 10 * (number // 2))
    made = await define(acme, "race", currency="POINTS", span="lifetime")
    assert (made.status_code, made.headers["ETag"], made.json()["measure"]) == (201, '"1"', "value")
    told = await read(boards, acme, f"{BOARD}/ranks", limit=4)
    assert [(each["rank"], each["user_id"], each["score"]) for each in told["items"]] == [
        (1, "u6", 30),
        (2, "u7", 30),
        (3, "u4", 20),
        (4, "u5", 20),
    ]
    assert (told["users"], told["window"]) == (6, None)  # u1 has scored nothing
    assert abs(datetime.now(UTC) - datetime.fromisoformat(told["as_of"])) < timedelta(seconds=60)
    rest = await read(boards, acme, f"{BOARD}/ranks", limit=4, cursor=told["next_cursor"])
    assert ([each["user_id"] for each in rest["items"]], rest["next_cursor"]) == (["u2", "u3"], None)
    own = await read(boards, acme, f"{BOARD}/users/u4", around=1)
    assert (own["rank"], own["score"], [each["user_id"] for each in own["around"]]) == (3, 20, ["u7", "u4", "u5"])
    assert own["reached_at"] == own["around"][1]["reached_at"]
    none = await read(boards, acme, f"{BOARD}/users/u1", around=2)
    assert (none["rank"], none["score"], none["reached_at"], none["around"]) == (None, 0, None, [])
    # a merged user stands as who it is by now
    merged = await acme.post("/v1/users/u5/merges", json={"merge_id": "m", "from": "u3"})
    assert merged.status_code == 201, merged.text
    assert (await read(boards, acme, f"{BOARD}/users/u3"))["user_id"] == "u5"
    for path in (BOARD, f"{BOARD}/ranks", f"{BOARD}/users/u4"):
        assert (await rival.get(path)).status_code == 404


async def test_past_windows_are_told_as_long_as_they_are_kept(
    acme: AsyncClient, plane: Plane, boards: ValkeyBoards
) -> None:
    today = find_day(datetime.now(UTC), "Europe/Berlin")
    grant(plane.dsn, "ada", 5)
    grant(plane.dsn, "bob", 7, timedelta(days=1))
    grant(plane.dsn, "eve", 9, timedelta(days=7))
    await define(acme, "race", currency="POINTS", span="day")
    for ago, user in ((0, "ada"), (1, "bob"), (7, "eve")):
        day = today - timedelta(days=ago)
        told = await read(boards, acme, f"{BOARD}/ranks", at=day.isoformat())
        assert ([each["user_id"] for each in told["items"]], told["window"]["starts_on"]) == ([user], day.isoformat())
        assert told["window"]["starts_at"] < told["window"]["ends_at"]
    instant = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    assert (await read(boards, acme, f"{BOARD}/users/bob", at=instant))["rank"] == 1
    for day in (today - timedelta(days=8), today + timedelta(days=1)):
        refused = await acme.get(f"{BOARD}/ranks", params={"at": day.isoformat()})
        assert (refused.status_code, refused.json()["errors"][0]["at"]) == (422, "at")
        assert "8 windows are told" in refused.json()["detail"]
    for at in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "1970-01-02", "9998-12-30", "yesterday"):
        assert (await acme.get(f"{BOARD}/ranks", params={"at": at})).status_code == 422, at


async def test_a_board_of_a_campaign_and_one_that_is_changed_and_deleted(
    acme: AsyncClient, plane: Plane, boards: ValkeyBoards
) -> None:
    await open_shop(acme)
    await launch(acme, "c", CASHBACK)
    for user, value, campaign in (("ada", 1, "c"), ("ada", 1, "c"), ("bob", 50, "c"), ("eve", 99, "d")):
        grant(plane.dsn, user, value, campaign=campaign)
    await define(acme, "race", campaign_id="c", measure="count", span="month")
    told = await read(boards, acme, f"{BOARD}/ranks")
    assert [(each["user_id"], each["score"]) for each in told["items"]] == [("ada", 2), ("bob", 1)]
    # when it counts otherwise, it is built anew
    changed = await define(acme, "race", campaign_id="c", currency="POINTS", span="month")
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"2"')
    told = await read(boards, acme, f"{BOARD}/ranks")
    assert [(each["user_id"], each["score"]) for each in told["items"]] == [("bob", 50), ("ada", 2)]
    stale = await acme.put(BOARD, json={"currency": "POINTS", "span": "day"}, headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    assert [each["leaderboard_id"] for each in (await acme.get("/v1/leaderboards")).json()["items"]] == ["race"]
    assert (await acme.delete(BOARD, headers=ANY)).status_code == 204
    assert (await acme.get(f"{BOARD}/ranks")).status_code == 404


async def test_what_contradicts_itself_or_names_nothing_is_refused(acme: AsyncClient) -> None:
    await open_shop(acme)
    await launch(acme, "c", CASHBACK)
    for parts, at in (
        ({"span": "day"}, "/currency"),
        ({"span": "day", "measure": "count"}, "/campaign_id"),
        ({"span": "day", "measure": "count", "campaign_id": "c", "currency": "POINTS"}, "/currency"),
        ({"span": "day", "currency": "POINTS", "week_starts_on": "sunday"}, "/week_starts_on"),
        ({"span": "day", "currency": "STARS"}, "/currency"),
        ({"span": "day", "measure": "count", "campaign_id": "none"}, "/campaign_id"),
        ({"span": "rolling", "currency": "POINTS"}, "/span"),
        ({"span": "day", "currency": "POINTS", "top": 10}, "/top"),
    ):
        refused = await acme.put(BOARD, json=parts)
        assert (refused.status_code, [each["at"] for each in refused.json()["errors"]]) == (422, [at])


async def test_a_tenant_has_so_many_and_without_valkey_it_is_said(acme: AsyncClient, plane: Plane) -> None:
    for number in range(20):
        await define(acme, f"b{number}", currency="POINTS", span="day")
    more = await acme.put("/v1/leaderboards/more", json={"currency": "POINTS", "span": "day"})
    assert (more.status_code, "20 leaderboards" in more.json()["detail"]) == (409, True)
    for ranks in (None, ValkeyRanks(connect_valkey("redis://127.0.0.1:1/0"))):
        plane.app.state.app_state = replace(plane.app.state.app_state, ranks=ranks)
        for path in ("/v1/leaderboards/b1/ranks", "/v1/leaderboards/b1/users/ada"):
            answer = await acme.get(path)
            assert (answer.status_code, "Valkey" in answer.json()["detail"]) == (503, True)
    for cursor in ("x", write_cursor([-1]), write_cursor([2**62])):
        assert (await acme.get("/v1/leaderboards/b1/ranks", params={"cursor": cursor})).status_code == 422
