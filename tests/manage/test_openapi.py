"""The contract of the API is committed: a change of it is seen in review."""

import json
import re
from pathlib import Path
from typing import Any

from fillip.analyse.openapi import describe_reports, describe_reports_at
from fillip.ingest.openapi import EVENTS_OPENAPI
from fillip.manage.app import build_app
from fillip.manage.key.postgres import PostgresKeyRing
from fillip.manage.store.postgres import open_engine

COMMITTED = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"
METHODS = {"get", "put", "post", "patch", "delete"}


def describe_api() -> dict[str, Any]:
    engine = open_engine("postgresql://nobody:@127.0.0.1:1/none")  # connects when first used: never here
    keys = PostgresKeyRing(engine)
    paths, schemas = describe_reports_at("http://127.0.0.1:8082")
    return build_app(
        engine,
        engine,
        "",
        keys,
        gateway_url="ws://127.0.0.1",
        extra_paths={"/v1/events": EVENTS_OPENAPI, **paths},
        extra_schemas=schemas,
    ).openapi()


def list_operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """(method and path, operation) of all paths."""
    items = document["paths"].items()
    return [
        (f"{method} {path}", operation)
        for path, item in items
        for method, operation in item.items()
        if method in METHODS
    ]


def test_the_committed_contract_is_the_one_served():
    """To write it anew: python tests/manage/test_openapi.py"""
    assert json.loads(COMMITTED.read_text()) == describe_api()


def test_every_operation_says_what_it_does_and_may_answer():
    for name, operation in list_operations(describe_api()):
        assert operation.get("summary"), name
        assert operation.get("responses"), name


def test_every_operation_has_a_name_that_a_generated_client_can_bear():
    names = [operation["operationId"] for _, operation in list_operations(describe_api())]
    assert {"listCampaigns", "sendEvents", "spendPoints", "reportCampaignDays"} <= set(names)
    assert [name for name in names if not re.fullmatch("[a-z]+([A-Z][a-z]*)+", name)] == []
    assert len(names) == len(set(names))


def test_the_reports_stand_in_the_same_document_with_their_server():
    api, reports = describe_api(), describe_reports()
    assert api["servers"] == reports["servers"] == [{"url": "/", "description": "Where this document is served"}]
    for path, item in reports["paths"].items():
        assert api["paths"][path] == {
            "servers": [{"url": "http://127.0.0.1:8082", "description": "The analyse process"}],
            **item,
        }
    schemas = api["components"]["schemas"]
    assert [name for name, shape in reports["components"]["schemas"].items() if schemas[name] != shape] == ["Problem"]


def test_every_name_that_the_document_refers_to_is_defined_in_it():
    document = describe_api()
    named = set(re.findall(r'"#/components/(?:schemas|securitySchemes)/(\w+)"', json.dumps(document)))
    assert named <= document["components"]["schemas"].keys()
    schemes = {name for _, operation in list_operations(document) for each in operation["security"] for name in each}
    assert schemes == document["components"]["securitySchemes"].keys()


if __name__ == "__main__":
    COMMITTED.write_text(json.dumps(describe_api(), indent=1, sort_keys=True) + "\n")
