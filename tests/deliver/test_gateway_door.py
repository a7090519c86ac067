"""Who is let in, and what is said to whom is not (goal S7)."""

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from fillip.embedded.addresses import Addresses
from tests.deliver.gateway_world import ORIGIN, World, ask, receive, until
from tests.deliver.quest_hand import announce_moves, move


def read_code(closed: ConnectionClosed) -> int:
    """The code that the server closed with."""
    assert closed.rcvd is not None
    return closed.rcvd.code


async def refusal(client: ClientConnection) -> tuple[int, str, int]:
    """(status and kind of the problem, close code) that a refused client sees."""
    problem = (await receive(client))["problem"]
    assert problem["type"].startswith("https://fillip.dev/problems/")
    assert problem["detail"]
    assert len(problem["trace_id"]) == 32
    with pytest.raises(ConnectionClosed) as closed:
        await asyncio.wait_for(client.recv(), 10)
    return problem["status"], problem["type"].rpartition("/")[2], read_code(closed.value)


async def test_a_ticket_opens_once(open_world: World) -> None:
    hello = json.dumps({"type": "hello", "ticket": await open_world.ticket("ann")})
    async with connect(open_world.url) as first, connect(open_world.url) as second:
        await first.send(hello)
        assert (await receive(first)) == {"type": "welcome", "user": "ann", "last_seq": 0}
        await second.send(hello)
        assert await refusal(second) == (401, "bad-ticket", 4401)


async def test_64_race_for_one_ticket_and_one_wins(open_world: World) -> None:
    hello = json.dumps({"type": "hello", "ticket": await open_world.ticket("ann")})

    async def race() -> str:
        async with connect(open_world.url) as client:
            await client.send(hello)
            return (await receive(client))["type"]

    assert sorted(await asyncio.gather(*(race() for _ in range(64)))) == ["error"] * 63 + ["welcome"]


async def test_expired_and_forged_tickets(open_world: World) -> None:
    for ticket in (await open_world.ticket("ann", lives_s=-1), "forged", "x" * 512, "é\u0000"):
        async with connect(open_world.url) as client:
            await client.send(json.dumps({"type": "hello", "ticket": ticket}))
            assert await refusal(client) == (401, "bad-ticket", 4401)


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "nonsense",
        "[]",
        "null",
        '{"type":"hello"}',
        '{"type":"hello","ticket":7}',
        '{"type":"hello","ticket":""}',
        '{"type":"hello","ticket":"t","cursor":-1}',
        '{"type":"hello","ticket":"t","cursor":1e99}',
        '{"type":"hello","ticket":"\\ud800"}',
        '{"type":"hello","ticket":"t","more":1}',
        '{"type":"hello","ticket":"t","ticket":"t"}',
        '{"type":"hello","ticket":"t","progress":true}',
        '{"type":"progress","campaign_id":"c","instance":"1"}',
        '{"type":"ack","seq":1}',
        '{"type":"unknown"}',
        "[" * 8000,
        b"\x00\x01",
    ],
)
async def test_a_bad_first_frame(open_world: World, frame: str | bytes) -> None:
    async with connect(open_world.url) as client:
        await client.send(frame)
        assert await refusal(client) == (400, "bad-frame", 4400)


async def test_bad_frames_later(open_world: World) -> None:
    for frame, kind in (('{"type":"ack","seq":9}', "bad-ack"), ('{"type":"hello","ticket":"t"}', "bad-frame")):
        async with open_world.client("ann") as client:
            await client.send(frame)
            assert await refusal(client) == (400, kind, 4400)


async def test_cursor_ahead_of_the_inbox(open_world: World) -> None:
    async with connect(open_world.url) as client:
        await client.send(json.dumps({"type": "hello", "ticket": await open_world.ticket("ann"), "cursor": 1}))
        assert await refusal(client) == (409, "cursor-ahead", 4409)


async def test_silence_is_ended(open_world: World) -> None:
    async with connect(open_world.url) as client:
        assert await refusal(client) == (408, "hello-timeout", 4408)


async def test_a_frame_too_large(open_world: World) -> None:
    async with open_world.client("ann") as client:
        with pytest.raises(ConnectionClosed) as closed:
            await client.send("x" * 17_000)
            await asyncio.wait_for(client.recv(), 10)
        assert read_code(closed.value) == 1009


async def test_a_flood_of_frames(open_world: World) -> None:
    async with open_world.client("ann") as client:
        with pytest.raises(ConnectionClosed) as closed:
            for _ in range(2000):
                await client.send('{"type":"ping"}')
            while True:
                await asyncio.wait_for(client.recv(), 10)
        assert read_code(closed.value) == 4429


async def test_too_many_connections_of_one_user(open_world: World) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(10):
            await stack.enter_async_context(open_world.client("ann"))
        async with connect(open_world.url) as client:
            await client.send(json.dumps({"type": "hello", "ticket": await open_world.ticket("ann")}))
            assert await refusal(client) == (429, "too-many-sessions", 4429)
        async with open_world.client("bob"):
            pass


async def test_a_tenant_has_so_many_connections_and_no_more(open_world: World) -> None:
    """Two of them: a third user is refused until one has gone; another tenant is let in all the while."""
    await open_world.pool.execute("INSERT INTO tenant_quota VALUES ('acme', '{\"sockets\": 2}')")
    await open_world.pool.execute("INSERT INTO tenant VALUES ('rival', 'Rival', 'UTC', 'EUR', 'live')")
    async with open_world.client("ann"):
        async with open_world.client("bob"):
            async with connect(open_world.url) as client:
                await client.send(json.dumps({"type": "hello", "ticket": await open_world.ticket("cid")}))
                assert await refusal(client) == (429, "quota-exceeded", 4429)
            ticket = await open_world.ticket("cid")
            await open_world.pool.execute("UPDATE gateway_ticket SET tenant_id = 'rival' WHERE redeemed_at IS NULL")
            async with connect(open_world.url) as client:
                await client.send(json.dumps({"type": "hello", "ticket": ticket}))
                assert (await receive(client))["type"] == "welcome"
        await until(lambda: let_in(open_world, "cid"))


async def let_in(world: World, user: str) -> bool:
    """Whether a client of this user is welcomed."""
    async with connect(world.url) as client:
        await client.send(json.dumps({"type": "hello", "ticket": await world.ticket(user)}))
        return (await receive(client))["type"] == "welcome"


@pytest.mark.parametrize(
    ("origin", "let_in"),
    [
        (None, True),
        (ORIGIN, True),
        ("https://evil.example", False),
        ("http://shop.example", False),
        (ORIGIN + ".evil.example", False),
        (ORIGIN + ":444", False),
        ("https://shop.example.", False),
        ("HTTPS://SHOP.EXAMPLE", False),
        ("null", False),
    ],
)
async def test_origins(open_world: World, origin: str | None, let_in: bool) -> None:
    try:
        async with connect(open_world.url, origin=Origin(origin) if origin else None):
            assert let_in
    except InvalidStatus as refused:
        assert not let_in
        assert refused.response.status_code == 403


async def test_plain_http(open_world: World) -> None:
    assert (await ask(open_world.port, "/healthz")).endswith("ok\n")
    assert (await ask(open_world.port, "/")).startswith("HTTP/1.1 404")
    for path in ("/healthz", "/v1/stream"):
        unknown = await ask(open_world.port, f"{path}?ticket=x&%FE=1")
        assert unknown.startswith("HTTP/1.1 422") and "not UTF-8" in unknown
        unknown = await ask(open_world.port, f"{path}?ticket=x")
        assert unknown.startswith("HTTP/1.1 422") and unknown.endswith("ticket: unknown parameter; known here: none\n")
        posted = await ask(open_world.port, path, method="POST")
        assert posted.startswith("HTTP/1.1 405") and "Allow: GET\r\n" in posted
    assert (await ask(open_world.port, "/v1/stream/", method="POST")).startswith("HTTP/1.1 404")


async def test_a_body_is_not_waited_for(open_world: World) -> None:
    """Of a client that goes on sending, or never begins."""
    for header in ("Content-Length: 5", "Transfer-Encoding: chunked"):
        assert await ask(open_world.port, "/healthz", header) == ""


async def test_postgres_away_live_goes_on_and_hello_is_asked_to_retry(open_world: World, servers: Addresses) -> None:
    await open_world.grant("ann", 1, 3)
    moved = await move(open_world, "ann", 1)
    async with open_world.client("ann", cursor=3) as client:
        assert (await receive(client))["type"] == "progress"  # so all that it had missed has been read
        ticket = await open_world.ticket("ann")
        row = await open_world.fetch_row("ann", 1)
        async with lock_out(servers.postgres_dsn, open_world.dsn.rpartition("/")[2]):
            open_world.produce("ann", row | {"inbox_seq": 4})
            assert (await receive(client))["seq"] == 4
            announce_moves(open_world, moved | {"revision": 2})
            assert (await receive(client))["revision"] == 2
            async with connect(open_world.url) as late:
                await late.send(json.dumps({"type": "hello", "ticket": ticket}))
                assert await refusal(late) == (503, "unavailable", 4450)
            await client.send('{"type":"ack","seq":3}')
        await until(lambda: all_acked(open_world))
        async with connect(open_world.url) as late:
            await late.send(json.dumps({"type": "hello", "ticket": ticket, "cursor": 3}))
            assert (await receive(late))["type"] == "welcome"


@asynccontextmanager
async def lock_out(dsn: str, database: str):
    """Meanwhile the gateway's role finds no database: its connections are ended, new ones refused."""
    admin = await asyncpg.connect(dsn)
    await admin.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false')
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'fillip_gateway' AND datname = $1"
    await admin.execute(ended, database)
    try:
        yield
    finally:
        await admin.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS true')
        await admin.close()


async def all_acked(world: World) -> bool:
    return await world.pool.fetchval("SELECT count(acked_at) FROM inbox") == 3
