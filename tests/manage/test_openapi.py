"""The contract of the API is committed: a change of it is seen in review."""

import json
from pathlib import Path
from typing import Any

from fillip.ingest.openapi import EVENTS_OPENAPI
from fillip.manage.app import build_app
from fillip.manage.key.postgres import PostgresKeyRing
from fillip.manage.store.postgres import open_engine

COMMITTED = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"


def describe_api() -> dict[str, Any]:
    engine = open_engine("postgresql://nobody:@127.0.0.1:1/none")  # connects when first used: never here
    keys = PostgresKeyRing(engine)
    return build_app(
        engine, engine, "", keys, gateway_url="ws://127.0.0.1", extra_paths={"/v1/events": EVENTS_OPENAPI}
    ).openapi()


def test_the_committed_contract_is_the_one_served():
    """To write it anew: python tests/manage/test_openapi.py"""
    assert json.loads(COMMITTED.read_text()) == describe_api()


def test_every_operation_says_what_it_does_and_may_answer():
    for path, item in describe_api()["paths"].items():
        for method, operation in item.items():
            assert operation.get("summary"), f"{method} {path}"
            assert operation.get("responses"), f"{method} {path}"


if __name__ == "__main__":
    COMMITTED.write_text(json.dumps(describe_api(), indent=1, sort_keys=True) + "\n")
