"""Sockets and tickets of a user who was merged into another."""

import asyncio
import json
from datetime import UTC, datetime

from websockets.asyncio.client import connect

from fillip.core.ports import Caller
from fillip.manage.merge.postgres import MergeRequest, merge_users
from fillip.manage.store.postgres import open_engine, transaction
from fillip.migrations import role_dsn
from tests.deliver.gateway_world import WITHIN_S, World, receive

ACME = Caller(None, "acme", frozenset())


async def test_a_socket_of_the_old_id_is_sent_away_and_an_old_ticket_lets_in_as_the_new_one(open_world: World) -> None:
    engine = open_engine(role_dsn(open_world.dsn, "fillip_api"))
    await open_world.grant("ada", 1, 1)
    ticket = await open_world.ticket("anon")
    async with open_world.client("anon") as old, open_world.client("eve") as other:
        async with transaction(engine, ACME) as connection:
            await merge_users(connection, ACME, MergeRequest("m1", "anon", "ada", None), datetime.now(UTC))
        told = await receive(old)
        assert (told["type"], told["problem"]["status"]) == ("error", 410)
        await asyncio.wait_for(old.wait_closed(), WITHIN_S)
        assert (old.close_code, old.close_reason) == (4410, "user-merged")
        await other.send(json.dumps({"type": "ping"}))
        assert (await receive(other))["type"] == "pong"
    async with connect(open_world.url, compression=None) as client:
        await client.send(json.dumps({"type": "hello", "ticket": ticket, "cursor": 0}))
        welcome = await receive(client)
        assert (welcome["type"], welcome["user"]) == ("welcome", "ada")
        assert (await receive(client))["seq"] == 1
    await engine.dispose()
