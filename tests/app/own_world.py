"""The API and a worker in this process, on real servers, with one tenant: what is asked of the one, the other decides."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, get_args
from uuid import uuid4

import httpx
import psycopg

from fillip.app.api import run_api
from fillip.app.health import Health
from fillip.app.settings import Settings
from fillip.app.worker import run_worker
from fillip.embedded.addresses import Addresses
from fillip.embedded.ports import choose_free_port
from fillip.manage.api.keys import NewKey, Scope, add_key
from fillip.manage.api.tenants import NewTenant, add_tenant
from fillip.manage.store.postgres import open_engine, transaction
from fillip.stream.topics import Topics
from tests.own_topics import own_topics

WITHIN_S = 60
ANY = {"If-Match": "*"}


@dataclass
class World:
    """A client of tenant acme, with all scopes, and the database behind it."""

    client: httpx.AsyncClient
    owner: psycopg.Connection

    async def launch(self, campaign_id: str, **definition: Any) -> None:
        """Make a SIMPLE campaign of these parts, and launch it."""
        given = {"kind": "SIMPLE", "name": campaign_id.title(), "rewards": [{"kind": "points", "value": 50}]}
        body = {"campaign_id": campaign_id, "definition": given | definition}
        await self.post("/v1/campaigns", body, 201)
        await self.order(campaign_id, "launch")

    async def order(self, campaign_id: str, order: str) -> None:
        """Move a campaign on; returns when the worker decides under it."""
        answer = await self.client.post(f"/v1/campaigns/{campaign_id}/{order}", headers=ANY)
        assert (answer.status_code, answer.headers["Fillip-In-Force"]) == (200, "true"), answer.text

    async def post(self, path: str, body: dict[str, Any], status: int = 200) -> dict[str, Any]:
        """What is answered, which must be with this status."""
        answer = await self.client.post(path, json=body)
        assert answer.status_code == status, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def read(self, path: str) -> Any:
        """What is there."""
        answer = await self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def decide(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What came of an own event, once it is decided: a loaded machine may answer that it is pending."""
        async with asyncio.timeout(WITHIN_S):
            while (answer := await self.client.post(path, json=body)).status_code in (202, 503):
                pass
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def reverse(self, reversal_id: str, event_id: str, source: str) -> dict[str, Any]:
        """Take an event back, and what came of that."""
        body = {"reversal_id": reversal_id, "event_id": event_id, "event_source": source}
        await self.post("/v1/reversals", body, 202)
        async with asyncio.timeout(WITHIN_S):
            while (answer := await self.client.get(f"/v1/reversals/{reversal_id}")).status_code == 404:
                await asyncio.sleep(0.01)
        told: dict[str, Any] = answer.json()
        return told

    def count(self, table: str) -> int:
        """The rows of a table."""
        row = self.owner.execute(f"SELECT count(*) FROM {table}").fetchone()
        assert row
        return int(row[0])


@asynccontextmanager
async def open_world(database: str, servers: Addresses) -> AsyncIterator[World]:
    """Both processes, ready, with `acme`; told to stop at the end, which must be without an error."""
    topics, port, stop = Topics(f"{uuid4().hex[:8]}."), choose_free_port(), asyncio.Event()
    settings = Settings(
        postgres_dsn=database,
        valkey_url=servers.valkey_url,
        kafka_bootstrap=servers.kafka_bootstrap,
        topic_prefix=topics.prefix,
        api_port=port,
    )
    key = await _make_tenant(database)
    async with own_topics(servers.kafka_bootstrap, topics, 1):
        running = [
            asyncio.create_task(run_worker(settings, stop)),
            asyncio.create_task(run_api(settings, stop, Health())),
        ]
        headers = {"Authorization": f"Bearer {key}"}
        try:
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=WITHIN_S
            ) as client:
                await _wait_for(client)
                with psycopg.connect(database, autocommit=True) as owner:
                    yield World(client, owner)
        finally:
            stop.set()
            await asyncio.gather(*running)


async def _make_tenant(database: str) -> str:
    """A key of a tenant; its name is of this test alone, since Valkey is shared."""
    tenant_id, engine = f"t{uuid4().hex[:8]}", open_engine(database)
    async with transaction(engine) as connection:
        await add_tenant(
            connection,
            NewTenant(tenant_id=tenant_id, name="Acme", time_zone="Europe/Berlin", currency="EUR", clock="live"),
        )
        issued = await add_key(connection, tenant_id, NewKey(name="test", scopes=list(get_args(Scope))))
    await engine.dispose()
    return str(issued.key)


async def _wait_for(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                await client.get("/v1/tenant")
                return
            except httpx.TransportError:
                await asyncio.sleep(0.02)
