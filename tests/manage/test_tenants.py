"""Tenants: the operator makes them, each changes itself."""

from typing import Any

import pytest
from httpx import AsyncClient

from fillip.core.errors import Refused
from fillip.manage.api.keys import NewKey
from fillip.manage.api.tenants import NewTenant
from fillip.manage.operator import create_key, create_tenant
from tests.manage.conftest import Plane

SHOP = {"tenant_id": "shop", "name": "Shop", "time_zone": "America/New_York", "currency": "USD", "clock": "history"}


async def test_the_operator_makes_a_tenant_and_its_first_key(operator: AsyncClient, plane: Plane) -> None:
    made = await operator.post("/v1/tenants", json=SHOP)
    assert made.status_code == 201
    assert made.json()["book_version"] == 1
    issued = await operator.post("/v1/tenants/shop/keys", json={"name": "first", "scopes": ["manage:read"]})
    shop = await plane.client(issued.json()["key"])
    assert (await shop.get("/v1/tenant")).json() == made.json() | {"in_force_version": 1}
    ids = [tenant["tenant_id"] for tenant in (await operator.get("/v1/tenants")).json()["items"]]
    assert ids == ["acme", "rival", "shop"]


async def test_a_tenant_is_made_once(operator: AsyncClient) -> None:
    await operator.post("/v1/tenants", json=SHOP)
    assert (await operator.post("/v1/tenants", json=SHOP)).status_code == 409
    assert (
        await operator.post("/v1/tenants/nobody/keys", json={"name": "x", "scopes": ["manage:read"]})
    ).status_code == 404


@pytest.mark.parametrize(
    ("part", "at"),
    [
        ({"time_zone": "Berlin"}, "/time_zone"),
        ({"time_zone": "localtime"}, "/time_zone"),
        ({"time_zone": "Factory"}, "/time_zone"),
        ({"time_zone": "right/UTC"}, "/time_zone"),
        ({"currency": "EURO"}, "/currency"),
        ({"currency": "XXX"}, "/currency"),
        ({"tenant_id": "Shop"}, "/tenant_id"),
        ({"clock": "slow"}, "/clock"),
        ({"holdout_percent": 51}, "/holdout_percent"),
        ({"holdout_percent": 0.5}, "/holdout_percent"),
        ({"surprise": 1}, "/surprise"),
        ({"user_schema": {"type": "object", "properties": {"a": {}}}}, "/properties/a"),
    ],
)
async def test_bad_tenants_are_refused_with_the_place(operator: AsyncClient, part: dict[str, Any], at: str) -> None:
    answer = await operator.post("/v1/tenants", json=SHOP | part)
    assert answer.status_code == 422
    assert [error["at"] for error in answer.json()["errors"]] == [at]


async def test_a_tenants_key_is_not_the_operators(acme: AsyncClient, operator: AsyncClient) -> None:
    assert (await acme.post("/v1/tenants", json=SHOP)).status_code == 403
    assert (await acme.get("/v1/tenants")).status_code == 403
    assert (await operator.get("/v1/tenant")).status_code == 403


async def test_a_tenant_changes_its_name_and_schema(acme: AsyncClient) -> None:
    wider = {"type": "object", "properties": {"tier": {"type": "string"}, "city": {"type": "string"}}}
    changed = await acme.patch("/v1/tenant", json={"name": "Acme 2", "user_schema": wider}, headers={"If-Match": '"1"'})
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"2"')
    assert changed.json()["book_version"] == 2
    assert (await acme.get("/v1/tenant")).json() == changed.json() | {"in_force_version": 2}
    assert (await acme.patch("/v1/tenant", json={"name": "x"})).status_code == 428
    assert (await acme.patch("/v1/tenant", json={"currency": "USD"}, headers={"If-Match": "*"})).status_code == 422


async def test_a_tenant_holds_users_out(acme: AsyncClient) -> None:
    changed = await acme.patch("/v1/tenant", json={"holdout_percent": 10}, headers={"If-Match": "*"})
    assert (changed.status_code, changed.json()["holdout_percent"], changed.json()["book_version"]) == (200, 10, 2)
    for wrong in (-1, 51, True, "5"):
        refused = await acme.patch("/v1/tenant", json={"holdout_percent": wrong}, headers={"If-Match": "*"})
        assert (refused.status_code, refused.json()["errors"][0]["at"]) == (422, "/holdout_percent"), wrong
    assert (await acme.get("/v1/tenant")).json()["holdout_percent"] == 10


async def test_an_attribute_keeps_its_type(acme: AsyncClient) -> None:
    other = {"type": "object", "properties": {"tier": {"type": "integer"}}}
    answer = await acme.patch("/v1/tenant", json={"user_schema": other}, headers={"If-Match": "*"})
    assert (answer.status_code, answer.json()["errors"][0]["at"]) == (409, "/user_schema/properties/tier")


async def test_the_command_line_makes_both_or_neither(database: str, plane: Plane) -> None:
    tenant, issued = await create_tenant(database, NewTenant(**SHOP), NewKey(name="first", scopes=["manage:read"]))
    again = await create_key(database, "shop", NewKey(name="second", scopes=["manage:read"]))
    for key in (issued.key, again.key):
        shop = await plane.client(key)
        assert (await shop.get("/v1/tenant")).json()["tenant_id"] == tenant.tenant_id
    late = NewKey(name="late", scopes=["manage:read"], expires_at="2020-01-01T00:00:00Z")
    with pytest.raises(Refused):
        await create_tenant(database, NewTenant(**SHOP | {"tenant_id": "none"}), late)
    assert (await plane.client(issued.key)) and (await _count(plane, "none")) == 0


async def _count(plane: Plane, tenant_id: str) -> int:
    async with plane.owner.connect() as connection:
        found = await connection.exec_driver_sql("SELECT count(*) FROM tenant WHERE tenant_id = $1", (tenant_id,))
        return int(found.scalar_one())
