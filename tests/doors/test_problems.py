"""Errors as problems, whichever door answers them."""

from typing import Any

import msgspec
import pytest
from starlette.requests import Request

from fillip.core.errors import Refused, Retry
from fillip.core.problem import Fault
from fillip.http.errors import Invalid, Unauthorized
from fillip.http.problems import answer_problem, answer_refused, answer_retry, find_trace_id

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
