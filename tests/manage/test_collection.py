"""The collection of requests is committed as the OpenAPI document is, and each of them is one that the API knows."""

import json
import re
from collections import Counter
from typing import Any
from urllib.parse import quote

from httpx import AsyncClient

from tests.manage.collection import VARIABLES, make_collection
from tests.manage.test_openapi import COMMITTED as DOCUMENT
from tests.manage.test_openapi import list_operations

COMMITTED = DOCUMENT.with_name("fillip.postman_collection.json")


def make() -> dict[str, Any]:
    return make_collection(json.loads(DOCUMENT.read_text()))


def list_requests() -> list[dict[str, Any]]:
    return [each["request"] for folder in make()["item"] for each in folder["item"]]


def test_the_committed_collection_is_made_from_the_committed_document():
    """To write it anew: python -m tests.manage.test_collection"""
    assert json.loads(COMMITTED.read_text()) == make()


def test_every_operation_is_in_it_once():
    paths = [
        re.sub("(?<=/):([a-z_]+)(?=/|$)", r"{\1}", each["url"]["raw"].partition("}}")[2]) for each in list_requests()
    ]
    named = Counter(f"{each['method'].lower()} {path}" for each, path in zip(list_requests(), paths, strict=True))
    assert named == Counter(name for name, _ in list_operations(json.loads(DOCUMENT.read_text())))
    variables = set(re.findall(r"\{\{(\w+)\}\}", json.dumps(make())))
    assert variables == VARIABLES.keys(), "and no more has to be filled in than is said"


async def test_what_it_reads_is_understood(acme: AsyncClient) -> None:
    """With its placeholders for ids, and all of its parameters: found or not, and refused for none of them."""
    for request in list_requests():
        url = request["url"]
        if request["method"] != "GET" or url["host"] == ["{{reports_url}}"] or "auth" in request:
            continue
        values = {each["key"]: quote(each["value"], safe="") for each in url["variable"]}
        path = "/" + "/".join(values[part[1:]] if part.startswith(":") else part for part in url["path"])
        given = {each["key"]: each["value"] for each in url["query"] if each["key"] != "cursor"}
        answer = await acme.get(path, params=given)
        assert answer.status_code in (200, 404, 503), f"{path} {given}: {answer.text}"


if __name__ == "__main__":
    COMMITTED.write_text(json.dumps(make(), indent=1, ensure_ascii=False) + "\n")
