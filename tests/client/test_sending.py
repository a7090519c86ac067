"""Sending a file of events: what is refused is named by its line, and all else is taken whatever stands in the way."""

import http.server
import io
import json
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from fillip.client.api import ApiClient, CallRefused
from fillip.client.sending import RefusedEvent, SentEvents, read_events, send_events
from fillip.core.errors import Crash
from tests.client.doors import serve

ROOM = 300
"""Events that the door's quota has room for at once."""


class _Door(http.server.BaseHTTPRequestHandler):
    """Names events that are `bad` and takes the others, takes none beside one that is `odd` and does not say which, is busy first."""

    protocol_version = "HTTP/1.1"
    taken: ClassVar[list[str]] = []
    busy: ClassVar[list[int]] = []

    def do_POST(self) -> None:
        events = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/v1/events?on_error=continue"
        if len(events) > ROOM:
            self.answer(429, {"detail": "too many"}, {"RateLimit-Policy": f'"events_per_s";q={ROOM};w=10'})
        elif self.busy:
            self.answer(self.busy.pop(), {"detail": "later"}, {"Retry-After": "0"})
        elif any(event["id"] == "odd" for event in events):
            self.answer(400, {"detail": "something is odd"})
        elif any(event["id"] == "fatal" for event in events):
            self.answer(403, {"detail": "this key lacks the scope events:write"})
        else:
            good = [event["id"] for event in events if event["id"] != "bad"]
            self.taken.extend(good)
            why = [{"at": "/time", "message": "is none"}]
            refused = [{"index": i, "errors": why} for i, event in enumerate(events) if event["id"] == "bad"]
            self.answer(202, {"accepted": len(good), "refused": refused})

    def answer(self, status: int, document: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        said = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(said)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *told: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def events_door() -> Iterator[str]:
    _Door.taken.clear()
    _Door.busy.clear()
    with serve(_Door) as url:
        yield url


def send(door: str, text: str) -> tuple[SentEvents, list[RefusedEvent]]:
    refused: list[RefusedEvent] = []
    with ApiClient(door, "key") as client:
        *_, sent = send_events(client, read_events(io.BytesIO(text.encode())), refused.append)
    return sent, refused


def write_lines(*ids: str) -> str:
    return "".join(f'{{"id": "{each}"}}\n' for each in ids)


def test_what_is_refused_is_named_by_its_line_and_all_else_is_taken(events_door: str) -> None:
    ids = [f"e{number}" for number in range(2_500)]
    ids[7] = ids[600] = ids[2_499] = "bad"
    ids[1_200] = "odd"
    lines = write_lines(*ids).splitlines()
    lines[3], lines[4] = "no JSON", ""

    sent, refused = send(events_door, "\n".join(lines))

    assert sorted(each.line for each in refused) == [4, 8, 601, 1_201, 2_500]
    assert {each.line: each.errors[0].at for each in refused if each.line in (8, 601)} == {8: "/time", 601: "/time"}
    assert _Door.taken == [each for place, each in enumerate(ids) if place not in (3, 4, 7, 600, 1_200, 2_499)]
    assert (sent.accepted, sent.refused, sent.line) == (2_494, 5, 2_500)


def test_a_batch_that_can_not_be_taken_now_is_sent_again(events_door: str) -> None:
    _Door.busy.extend([503, 429, 429])

    assert send(events_door, write_lines("a", "b")) == (SentEvents(accepted=2, line=2), [])
    assert _Door.taken == ["a", "b"]


def test_what_does_not_lie_in_the_events_ends_it(events_door: str) -> None:
    with pytest.raises(CallRefused, match="events:write"):
        send(events_door, write_lines("a", "fatal"))
    assert _Door.taken == []


@pytest.mark.parametrize(
    "text",
    [
        '[{"id": "a"}, {"id": "b"}]',
        '[\n{"id": "a"},\n{"id": "b"}\n]\n',
        '{"id": "a"}\n{"id": "b"}',
        '\n{"id": "a"}\r\n{"id": "b"}\n',
    ],
)
def test_events_stand_line_by_line_or_in_one_document(events_door: str, text: str) -> None:
    assert send(events_door, text)[0].accepted == 2
    assert _Door.taken == ["a", "b"]


def test_one_event_may_stand_on_several_lines(events_door: str) -> None:
    assert send(events_door, '{\n "id":\n  "a"\n}\n')[0].accepted == 1


def test_a_document_that_is_no_json_is_one_clear_line(events_door: str) -> None:
    with pytest.raises(Crash, match="neither one event a line nor a JSON document"):
        send(events_door, '[{"id": "a"},\n')
