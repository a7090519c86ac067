"""The pages that show the API: whole from this machine, and by their policy nothing can come from elsewhere."""

import re
from collections.abc import AsyncIterator
from urllib.parse import urljoin

import httpx
import pytest
from starlette.applications import Starlette

from fillip.app.pages import page_routes

BASE = "http://fillip"


@pytest.fixture
async def browser() -> AsyncIterator[httpx.AsyncClient]:
    """Asks an application that has these pages."""
    transport = httpx.ASGITransport(Starlette(routes=page_routes()))
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
        yield client


@pytest.mark.parametrize(("page", "shown_by"), [("/docs", "swagger-ui-bundle.js"), ("/redoc", "redoc.standalone.js")])
async def test_all_that_a_page_loads_is_here(browser: httpx.AsyncClient, page: str, shown_by: str) -> None:
    text = (await browser.get(page)).text
    loaded = [urljoin(BASE + page, found) for found in re.findall(r'(?:src|href|spec-url)="([^"]+)"', text)]
    assert any(url.endswith(shown_by) for url in loaded)
    for url in loaded:
        assert url.startswith(("data:", f"{BASE}/")), url
        if url.startswith(f"{BASE}/docs"):
            answer = await browser.get(url)
            kind = {"js": "text/javascript", "css": "text/css"}[url.rpartition(".")[2]]
            assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, kind)
    assert "//" not in re.sub(r"<!DOCTYPE[^>]*>", "", text)


@pytest.mark.parametrize("page", ["/docs", "/docs/swagger.js", "/redoc"])
async def test_the_policy_lets_in_no_other_host_and_no_script_in_the_page(
    browser: httpx.AsyncClient, page: str
) -> None:
    answer = await browser.get(page)
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    allowed = {source for sources in policy.values() for source in sources.split()}
    assert allowed <= {"'none'", "'self'", "'unsafe-inline'", "data:", "blob:"}
    assert "<script>" not in answer.text


async def test_the_document_is_shown_to_no_validator_elsewhere(browser: httpx.AsyncClient) -> None:
    assert "validatorUrl: null" in (await browser.get("/docs/swagger.js")).text


async def test_no_file_beside_the_pages_is_served(browser: httpx.AsyncClient) -> None:
    for path in ("/docs/files/../core.py", "/docs/files/%2e%2e/core.py", "/docs/files/nothing.js"):
        assert (await browser.get(path)).status_code == 404
