"""The control plane in this process, on a real database: two tenants, keys as wanted."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args
from uuid import uuid4

import httpx
import pytest
from alembic import command
from alembic.config import Config
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

import fillip.migrations
from fillip.embedded.addresses import Addresses
from fillip.manage.api.keys import NewKey, Scope, add_key
from fillip.manage.api.tenants import NewTenant, add_tenant
from fillip.manage.app import build_app
from fillip.manage.key.postgres import PostgresKeyRing
from fillip.manage.store.postgres import open_engine, transaction
from fillip.migrations import role_dsn
from tests.conftest import run_sql, swap_database

OPERATOR_KEY = "operator-key-of-this-test"
ALL_SCOPES = get_args(Scope)
USER_SCHEMA = {
    "type": "object",
    "properties": {"tier": {"type": "string", "maxLength": 10}, "age": {"type": "integer"}},
}


@dataclass
class Plane:
    """The application and what stands behind it; `client` gives HTTP clients of it."""

    app: FastAPI
    engine: AsyncEngine
    owner: AsyncEngine
    dsn: str
    keys: dict[str, str]
    _clients: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def client(self, key: str | None = None) -> httpx.AsyncClient:
        """A client that sends `key` (None: no credential)."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://fillip", headers=headers)
        return await self._clients.enter_async_context(client)

    async def make_key(self, tenant_id: str, *scopes: str) -> str:
        """A new key of a tenant with these scopes only."""
        async with transaction(self.owner) as connection:
            issued = await add_key(connection, tenant_id, NewKey(name="test", scopes=list(scopes)))
        return str(issued.key)


@pytest.fixture
async def plane(database: str) -> AsyncIterator[Plane]:
    """The control plane with tenants `acme` and `rival`, each with a key of all scopes in `keys`."""
    engine, owner = open_engine(role_dsn(database, "fillip_api")), open_engine(database)
    app = build_app(engine, owner, OPERATOR_KEY, PostgresKeyRing(engine), gateway_url="ws://127.0.0.1:8081/v1/stream")
    made = Plane(app, engine, owner, database, {})
    async with transaction(owner) as connection:
        for tenant_id in ("acme", "rival"):
            zone = {"time_zone": "Europe/Berlin", "currency": "EUR", "clock": "live"}
            await add_tenant(
                connection, NewTenant(tenant_id=tenant_id, name=tenant_id.title(), user_schema=USER_SCHEMA, **zone)
            )
    for tenant_id in ("acme", "rival"):
        made.keys[tenant_id] = await made.make_key(tenant_id, *ALL_SCOPES)
    yield made
    await made._clients.aclose()
    await engine.dispose()
    await owner.dispose()


@pytest.fixture
async def acme(plane: Plane) -> httpx.AsyncClient:
    """A client of tenant `acme` with all scopes."""
    return await plane.client(plane.keys["acme"])


@pytest.fixture
async def rival(plane: Plane) -> httpx.AsyncClient:
    """A client of tenant `rival` with all scopes."""
    return await plane.client(plane.keys["rival"])


@pytest.fixture
async def operator(plane: Plane) -> httpx.AsyncClient:
    """A client with the operator's key."""
    return await plane.client(OPERATOR_KEY)


@pytest.fixture
def make_database_at(servers: Addresses) -> Iterator[Callable[[str], str]]:
    """Makes databases at a revision, and gives their DSN."""
    with ExitStack() as stack:
        yield lambda revision: stack.enter_context(_open_database(servers, revision))


@contextmanager
def _open_database(servers: Addresses, revision: str) -> Iterator[str]:
    name = f"test_{uuid4().hex[:12]}"
    run_sql(servers.postgres_dsn, "CREATE DATABASE {}", name)
    dsn = swap_database(servers.postgres_dsn, name)
    config = Config()
    config.set_main_option("script_location", str(Path(fillip.migrations.__file__).parent))
    config.attributes["dsn"] = dsn
    command.upgrade(config, revision)
    yield dsn
    run_sql(servers.postgres_dsn, "DROP DATABASE {} WITH (FORCE)", name)
