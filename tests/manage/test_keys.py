"""API keys: shown once, scoped, rotated, revoked; and the ring that the doors ask."""

from collections.abc import Mapping

import pytest
from httpx import AsyncClient
from sqlalchemy import text

from fillip.core.errors import Retry
from fillip.embedded.servers import Servers
from fillip.manage.api.keys import NewKey, add_key
from fillip.manage.api.tenants import NewTenant, add_tenant
from fillip.manage.key.format import make_key
from fillip.manage.key.postgres import PostgresKeyRing
from fillip.manage.store.postgres import open_engine, transaction
from fillip.migrations import migrate, role_dsn
from tests.conftest import OwnServers
from tests.manage.conftest import Plane

NEW = {"name": "till", "scopes": ["manage:read"]}


async def test_a_key_is_shown_once_and_works_until_revoked(acme: AsyncClient, plane: Plane) -> None:
    issued = (await acme.post("/v1/keys", json=NEW)).json()
    till = await plane.client(issued["key"])
    assert (await till.get("/v1/users")).status_code == 200
    listed = (await acme.get("/v1/keys")).json()["items"]
    assert {key["key_id"] for key in listed} >= {issued["key_id"]}
    assert not any("key" in key for key in listed)

    assert (await acme.delete(f"/v1/keys/{issued['key_id']}")).status_code == 204
    assert (await acme.delete(f"/v1/keys/{issued['key_id']}")).status_code == 204
    assert await PostgresKeyRing(plane.engine).authenticate(issued["key"]) is None


async def test_two_keys_live_at_once_so_that_one_replaces_the_other(acme: AsyncClient, plane: Plane) -> None:
    old, new = [(await acme.post("/v1/keys", json=NEW)).json() for _ in range(2)]
    await acme.delete(f"/v1/keys/{old['key_id']}")
    assert (await (await plane.client(new["key"])).get("/v1/users")).status_code == 200


async def test_a_key_grants_no_more_than_it_has(plane: Plane) -> None:
    narrow = await plane.client(await plane.make_key("acme", "keys:write", "manage:read"))
    assert (await narrow.post("/v1/keys", json=NEW)).status_code == 201
    wide = await narrow.post("/v1/keys", json=NEW | {"scopes": ["manage:read", "manage:write"]})
    assert (wide.status_code, wide.json()["errors"][0]["at"]) == (403, "/scopes")


async def test_a_key_revokes_none_that_has_more_than_itself(acme: AsyncClient, plane: Plane) -> None:
    narrow = await plane.client(await plane.make_key("acme", "keys:write", "manage:read"))
    for scopes, status in (
        (["manage:read"], 204),
        (["manage:read", "keys:write"], 204),
        (["events:write"], 403),
        (["manage:read", "manage:write", "reports:read"], 403),
    ):
        other = (await acme.post("/v1/keys", json=NEW | {"scopes": scopes})).json()
        answer = await narrow.delete(f"/v1/keys/{other['key_id']}")
        assert answer.status_code == status, scopes
        revoked = (await PostgresKeyRing(plane.engine).authenticate(other["key"])) is None
        assert revoked == (status == 204)
    assert "manage:write, reports:read" in answer.json()["detail"]
    assert (await acme.delete(f"/v1/keys/{other['key_id']}")).status_code == 204
    assert (await narrow.delete(f"/v1/keys/{other['key_id']}")).status_code == 403


async def test_a_key_is_replaced_by_itself_and_the_last_one_by_the_operator(
    plane: Plane, operator: AsyncClient
) -> None:
    old = await plane.client(await plane.make_key("acme", "keys:write", "manage:read"))
    [mine] = [k for k in (await old.get("/v1/keys")).json()["items"] if k["scopes"] == ["keys:write", "manage:read"]]
    made = (await old.post("/v1/keys", json=NEW | {"scopes": ["keys:write", "manage:read"]})).json()
    assert (await old.delete(f"/v1/keys/{mine['key_id']}")).status_code == 204

    new = await plane.client(made["key"])
    assert (await new.delete(f"/v1/keys/{made['key_id']}")).status_code == 204
    again = await operator.post("/v1/tenants/acme/keys", json=NEW | {"scopes": ["keys:write"]})
    assert again.status_code == 201


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/v1/users/ada"), ("PUT", "/v1/actions/X"), ("POST", "/v1/cohorts"), ("POST", "/v1/keys")],
)
async def test_a_reading_key_changes_nothing(plane: Plane, method: str, path: str) -> None:
    reader = await plane.client(await plane.make_key("acme", "manage:read"))
    body: Mapping[str, object] = {"attributes": {}} if "users" in path else NEW
    assert (await reader.request(method, path, json=body)).status_code == 403


@pytest.mark.parametrize(("name", "value"), [("test", 0), ("test", "yes"), ("expires_at", 1_893_456_000)])
async def test_what_is_not_of_its_type_is_refused(acme: AsyncClient, name: str, value: object) -> None:
    answer = await acme.post("/v1/keys", json=NEW | {name: value})
    assert (answer.status_code, answer.json()["errors"][0]["at"]) == (422, f"/{name}")


async def test_bad_credentials_are_refused(plane: Plane) -> None:
    headers: list[dict[str, str]] = [
        {},
        {"Authorization": "Basic abc"},
        {"Authorization": f"Bearer {make_key()}"},
        {"Authorization": "Bearer é"},
    ]
    for header in headers:
        client = await plane.client()
        answer = await client.get(
            "/v1/users", headers={name.encode(): value.encode() for name, value in header.items()}
        )
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_an_idempotent_repeat_does_not_show_the_key_again(acme: AsyncClient, plane: Plane) -> None:
    once = await acme.post("/v1/keys", json=NEW, headers={"Idempotency-Key": "k"})
    again = await acme.post("/v1/keys", json=NEW, headers={"Idempotency-Key": "k"})
    assert again.json() == once.json() | {"key": None}
    async with plane.owner.connect() as connection:
        stored = (await connection.execute(text("SELECT body FROM idempotency"))).scalar_one()
    assert once.json()["key"].encode() not in stored


async def test_a_revoked_key_dies_within_the_ring_s_time(plane: Plane) -> None:
    ring, key = PostgresKeyRing(plane.engine, cache_for_s=0), plane.keys["acme"]
    caller = await ring.authenticate(key)
    assert caller is not None and caller.tenant_id == "acme"
    async with transaction(plane.owner) as connection:
        await connection.execute(text("UPDATE api_key SET revoked_at = now()"))
    assert await ring.authenticate(key) is None


async def test_known_keys_go_on_while_the_database_is_away(own_servers: OwnServers) -> None:
    servers: Servers = own_servers()
    dsn = servers.addresses.postgres_dsn
    migrate(dsn)
    owner, engine = open_engine(dsn), open_engine(role_dsn(dsn, "fillip_api"))
    async with transaction(owner) as connection:
        tenant = NewTenant(tenant_id="acme", name="Acme", time_zone="UTC", currency="EUR")
        await add_tenant(connection, tenant)
        keys = [
            (await add_key(connection, "acme", NewKey(name="n", scopes=["events:write"]))).key or "" for _ in range(2)
        ]
    ring = PostgresKeyRing(engine, cache_for_s=0)
    known = await ring.authenticate(keys[0])

    servers.kill("postgres")
    assert await ring.authenticate(keys[0]) == known
    with pytest.raises(Retry):
        await ring.authenticate(keys[1])

    servers.restart("postgres")
    second = await ring.authenticate(keys[1])
    assert second is not None and second.tenant_id == "acme"
    await engine.dispose()
    await owner.dispose()
