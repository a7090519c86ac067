"""The whole OpenAPI, tried with generated requests, good and bad: no server error, every answer as described."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy.ext.asyncio import AsyncEngine

from fillip.app.embedded import Addresses
from fillip.manage.app import build_app
from fillip.manage.keys import NewKey
from fillip.manage.operator import create_tenant
from fillip.manage.postgres import PostgresKeyRing, open_engine
from fillip.manage.tenants import NewTenant
from fillip.migrations import role_dsn
from tests.manage.conftest import ALL_SCOPES, OPERATOR_KEY
from tests.manage.event_log import open_event_log

EXAMPLES = 12
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
KNOWN = {"pool_id": "p", "badge_id": "b"} | {
    "user_id": "ada",
    "name": "BUY",
    "cohort_id": "vip",
    "list_id": "sweets",
    "tenant_id": "acme",
    "campaign_id": "c",
    "limit_id": "l",
}


class Api:
    """The application in an event loop of its own, called from synchronous code."""

    def __init__(self, dsn: str, bootstrap: str) -> None:
        self._runner = asyncio.Runner()
        self._engines: list[AsyncEngine] = [open_engine(role_dsn(dsn, "fillip_api")), open_engine(dsn)]
        keys = PostgresKeyRing(self._engines[0], cache_for_s=60)
        self._log = open_event_log(dsn, bootstrap)
        log, _ = self._runner.run(self._log.__aenter__())
        self.app = build_app(
            *self._engines, OPERATOR_KEY, keys, gateway_url="ws://127.0.0.1:8081/v1/stream", event_log=log
        )
        tenant = NewTenant(tenant_id="acme", name="Acme", time_zone="UTC", currency="EUR")
        _, issued = self._runner.run(create_tenant(dsn, tenant, NewKey(name="all", scopes=list(ALL_SCOPES))))
        self.key = str(issued.key)
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://fillip")

    def call(self, credential: str, method: str, url: str, **given: object) -> httpx.Response:
        """One request."""
        headers = dict(given.pop("headers", None) or {}) | {"Authorization": f"Bearer {credential}"}  # type: ignore[call-overload]
        request = self._client.request(method, url, headers=headers, **given)  # type: ignore[arg-type]
        return self._runner.run(request)

    def close(self) -> None:
        """Dispose of everything."""
        self._runner.run(self._log.__aexit__(None, None, None))
        for engine in self._engines:
            self._runner.run(engine.dispose())
        self._runner.close()


@pytest.fixture
def api(database: str, servers: Addresses) -> Iterator[Api]:
    """The control plane of a tenant that has one object of each kind."""
    made = Api(database, servers.kafka_bootstrap)
    definition = {"kind": "SIMPLE", "name": "C", "action": "BUY", "rewards": [{"kind": "badge"}]}
    limit = {"limit_id": "l", "scope": "tenant", "measure": "count", "span": "day", "cap": 1}
    for method, path, body in (
        ("PUT", "/v1/users/ada", {"attributes": {}}),
        ("PUT", "/v1/actions/BUY", {"schema": {"type": "object", "properties": {}}}),
        ("POST", "/v1/cohorts", {"cohort_id": "vip", "name": "VIP"}),
        ("PUT", "/v1/lists/sweets", {"name": "Sweets", "items": ["A-1"]}),
        ("POST", "/v1/campaigns", {"campaign_id": "c", "definition": definition}),
        ("POST", "/v1/limits", limit),
        ("POST", "/v1/coupon-pools", {"pool_id": "p", "name": "P"}),
        ("POST", "/v1/badges", {"badge_id": "b", "name": "B"}),
    ):
        answer = made.call(made.key, method, path, json=body)
        assert answer.status_code == 201, answer.text
    yield made
    made.close()


def test_every_operation_keeps_its_contract(api: Api) -> None:
    schema = schemathesis.openapi.from_asgi("/openapi.json", api.app)
    schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
    seen: Counter[str] = Counter()
    failures: list[str] = []
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(), known=st.booleans())
        def try_one(case: schemathesis.Case, known: bool) -> None:
            if known and case.path_parameters:
                case.path_parameters |= {n: v for n, v in KNOWN.items() if n in case.path_parameters}
            kwargs = case.as_transport_kwargs(base_url="http://fillip")
            needs_operator = case.path.startswith("/v1/tenants")
            credential = OPERATOR_KEY if needs_operator else api.key
            sent = {name: kwargs[name] for name in ("headers", "params", "json") if kwargs.get(name) is not None}
            if kwargs.get("data") is not None:
                sent["content"] = kwargs["data"]
            response = api.call(credential, kwargs["method"], kwargs["url"], **sent)
            seen[str(response.status_code)] += 1
            case.validate_response(response, checks=CHECKS)

        try:
            try_one()
        except Exception as error:  # all operations are told, not the first only
            failures.append(f"{operation.method.upper()} {operation.path}: {error!r:.1500}")
    assert not failures, f"{len(failures)} failed, answers {dict(seen)}\n" + "\n\n".join(failures)
    assert seen["200"] and seen["422"] and seen["404"]
