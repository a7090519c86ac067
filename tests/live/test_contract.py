"""Both OpenAPI documents on a running set, with all checks of schemathesis; `make accept ONLY=contract` tries much more."""

import asyncio

import httpx
import pytest

from fillip.app.up import Stack
from tests.accept.contract import NO_REPORTS, list_failures, stock_shop, try_document

pytestmark = pytest.mark.xdist_group("live")

EXAMPLES = 6
SAME_EACH_TIME = "--generation-deterministic"


def test_api_and_reports_are_as_their_documents_say(stack: Stack) -> None:
    shop = asyncio.run(stock_shop(stack))
    for name, url, phases in (
        ("reports", stack.doors.analyse, "examples,coverage,fuzzing"),
        ("api", stack.doors.api, "examples,fuzzing"),
    ):
        more = ("--phases", phases, SAME_EACH_TIME, *(NO_REPORTS if name == "api" else ()))
        report = try_document(shop, url, f"test-{name}", EXAMPLES, *more)
        assert list_failures(report) == [], name
        assert report["operations"]["tested"] == report["operations"]["selected"]


def test_both_processes_show_their_document(stack: Stack) -> None:
    for url in (stack.doors.api, stack.doors.analyse):
        with httpx.Client(base_url=url) as browser:
            assert browser.get("/openapi.json").json()["openapi"].startswith("3.1")
            for path in (
                "/docs",
                "/redoc",
                "/docs/swagger.js",
                "/docs/files/swagger-ui.css",
                "/docs/files/redoc.standalone.js",
            ):
                assert browser.get(path).status_code == 200, url + path
