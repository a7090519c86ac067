"""Every operation of the OpenAPI says no, and where, to what nobody reads. None of it needs a database: it is never asked."""

import re
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from fillip.core.ports import Caller
from fillip.core.quota import Quotas
from fillip.manage.app import build_app
from fillip.manage.store.postgres import open_engine
from tests.manage.conftest import ALL_SCOPES, OPERATOR_KEY

METHODS = {"get", "put", "post", "patch", "delete", "head", "options"}
VALUES = {"order": "launch"}


class Keys:
    """Takes every key but the operator's."""

    async def authenticate(self, key: str) -> Caller | None:
        return Caller(uuid.uuid4(), "acme", frozenset(ALL_SCOPES), Quotas())


@pytest.fixture
def app() -> FastAPI:
    """The control plane on a database that is not there: what gets so far is answered 503."""
    away = open_engine("postgresql://nobody:x@127.0.0.1:1/none")
    return build_app(away, away, OPERATOR_KEY, Keys(), gateway_url="ws://127.0.0.1")


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://fillip", headers=bear("fk_live_x")) as client:
        yield client


def bear(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def list_operations(app: FastAPI) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(method, path with values, operation)."""
    for path, item in app.openapi()["paths"].items():
        for method, operation in item.items():
            yield method, re.sub(r"{(\w+)}", lambda name: VALUES.get(name[1], "x"), path), operation


def find_faults(answer: httpx.Response) -> list[str]:
    return [fault["at"] for fault in answer.json().get("errors", ())]


async def test_a_parameter_that_an_operation_does_not_read_is_refused(app: FastAPI, client: httpx.AsyncClient) -> None:
    for method, path, operation in list_operations(app):
        known = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
        for key in ("fk_live_x", OPERATOR_KEY):
            answer = await client.request(method, f"{path}?user=ada&User_id=ada", headers=bear(key))
            assert (answer.status_code, find_faults(answer)) == (422, ["user", "User_id"]), (method, path)
            assert answer.headers["content-type"] == "application/problem+json"
        for name in known:
            answer = await client.request(method, path, params=[(name, "1"), (name, "1")])
            assert (answer.status_code, find_faults(answer)) == (422, [name]), (method, path)


async def test_a_body_that_an_operation_does_not_read_is_refused(app: FastAPI, client: httpx.AsyncClient) -> None:
    bodiless = [(method, path) for method, path, operation in list_operations(app) if "requestBody" not in operation]
    assert len(bodiless) > 40
    for method, path in bodiless:
        answer = await client.request(method, path, json={"amount": 20, "a/b": 1})
        assert (answer.status_code, find_faults(answer)) == (422, ["/amount", "/a~1b"]), (method, path)
        for body in (b"{}", b"amount=20", b"[", b" "):
            answer = await client.request(method, path, content=body)
            assert (answer.status_code, find_faults(answer)) == (422, [""]), (method, path, body)


def test_no_body_has_room_for_fields_that_nobody_reads(app: FastAPI) -> None:
    """Each object of a body is closed, or says what its other members are."""
    document = app.openapi()

    def walk(schema: Any, at: str, seen: frozenset[str]) -> Iterator[str]:
        if isinstance(schema, list):
            for part in schema:
                yield from walk(part, at, seen)
        elif isinstance(schema, dict):
            name = schema.get("$ref", "").rpartition("/")[2]
            if name and name not in seen:
                yield from walk(document["components"]["schemas"][name], name, seen | {name})
            if schema.get("type") == "object" and "additionalProperties" not in schema:
                yield at
            for keyword in ("items", "anyOf", "oneOf", "allOf"):
                yield from walk(schema.get(keyword), at, seen)
            for member, part in schema.get("properties", {}).items():
                yield from walk(part, f"{at}.{member}", seen)

    bodies = [
        operation["requestBody"]["content"] for _, _, operation in list_operations(app) if "requestBody" in operation
    ]
    schemas = [content["application/json"]["schema"] for content in bodies if "application/json" in content]
    assert len(schemas) > 20
    assert not sorted(set(walk(schemas, "", frozenset())))


async def test_what_a_path_does_not_take_names_what_it_takes(app: FastAPI, client: httpx.AsyncClient) -> None:
    taken: dict[str, set[str]] = {}
    for method, path, _ in list_operations(app):
        taken.setdefault(path, set()).add(method)
    for path, methods in taken.items():
        for method in METHODS - methods:
            if (method, path) == ("get", "/v1/coupons/redemptions"):
                continue  # a code may be called so
            answer = await client.request(method, path)
            allowed = answer.headers.get("Allow")
            assert (answer.status_code, allowed) == (405, ", ".join(sorted(map(str.upper, methods)))), (method, path)
    assert taken["/v1/campaigns/x/versions"] == {"get"}  # where the orders stand, which are posted
    assert taken["/v1/campaigns/x/explain"] == {"get", "post"}


@pytest.mark.parametrize(
    "path", ["/v1/users/", "/v1/campaigns/x/launch/", "/v1//users", "//evil.example/v1/users", "/docs/"]
)
async def test_nobody_is_sent_elsewhere(client: httpx.AsyncClient, path: str) -> None:
    for method in ("GET", "POST"):
        answer = await client.request(method, f"http://fillip{path}", headers={"Host": "evil.example"})
        assert (answer.status_code, "location" in answer.headers) == (404, False)
