"""Errors as problems, whichever door answers them."""

from typing import Any

import httpx
import msgspec
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fillip.core.errors import Refused, Retry
from fillip.core.problem import Fault
from fillip.http.errors import Invalid, Unauthorized
from fillip.http.problems import ProblemMiddleware, answer_problem, answer_refused, answer_retry, find_trace_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def asked() -> Request:
    traced = (b"traceparent", f"00-{TRACE}-00f067aa0ba902b7-01".encode())
    return Request({"type": "http", "method": "GET", "path": "/v1/users/é?", "query_string": b"", "headers": [traced]})


def test_a_problem_names_the_request_and_its_trace(asked: Request) -> None:
    answer = answer_problem(asked, 422, "invalid", "too long", [Fault("/a", "long")] * 101)
    problem: dict[str, Any] = msgspec.json.decode(answer.body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert (problem["trace_id"], answer.headers["trace-id"], problem["instance"]) == (
        TRACE,
        TRACE,
        "/v1/users/%C3%A9%3F",
    )
    assert len(problem["errors"]) == 100


def test_a_request_without_a_trace_gets_one_that_stays() -> None:
    untraced = Request({"type": "http", "path": "/", "headers": []})
    assert len(find_trace_id(untraced)) == 32
    assert find_trace_id(untraced) == find_trace_id(untraced)


def test_refusals_say_what_to_do_in_their_headers(asked: Request) -> None:
    assert answer_refused(asked, Unauthorized("send a key")).headers["www-authenticate"] == "Bearer"
    assert answer_retry(asked, Retry("the database is away")).headers["retry-after"] == "2"
    for refused in (Refused("no", at="/a"), Invalid("no", at="/a")):
        answer = answer_refused(asked, refused)
        assert (answer.status_code, msgspec.json.decode(answer.body)["errors"]) == (
            422,
            [{"at": "/a", "message": "no"}],
        )


@pytest.mark.parametrize(
    ("path", "status"), [("/refused", 401), ("/broken", 500), ("/v1/%FF", 400), ("/bare?user=1", 422), ("/plain", 200)]
)
async def test_whatever_happens_the_answer_is_traced_once(path: str, status: int) -> None:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/broken":
            raise RuntimeError
        answer = Response("as asked")
        if scope["path"] == "/refused":
            answer = answer_refused(Request(scope), Unauthorized("send a key"))
        await answer(scope, receive, send)

    transport = httpx.ASGITransport(app=ProblemMiddleware(serve, bare={"/bare"}))
    async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
        answer = await client.get(path, headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
    assert (answer.status_code, answer.headers.get_list("trace-id")) == (status, [TRACE])
    assert status == 200 or answer.json()["trace_id"] == TRACE
