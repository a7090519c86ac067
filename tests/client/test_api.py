"""The client of the API: what it does about a broken connection, and what it says of a refusal."""

import http.server
from collections.abc import Iterator

import pytest

from fillip.client.api import ApiClient, CallFailed
from tests.client.doors import serve


class _Door(http.server.BaseHTTPRequestHandler):
    """Hangs up on the first request of each connection's first POST, refuses /no, else tells what it was sent."""

    seen: list[tuple[str, str | None, str]] = []
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.seen.append((self.path, self.headers["Idempotency-Key"], body))
        if len(self.seen) == 1:
            self.close_connection = True
            return
        said = b'{"stored": 1}' if self.path != "/no" else b'{"detail": "there is no such thing"}'
        self.send_response(404 if self.path == "/no" else 200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *told: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def breaking_door() -> Iterator[str]:
    _Door.seen.clear()
    with serve(_Door) as url:
        yield url


def test_a_broken_connection_is_retried_under_the_same_idempotency_key(breaking_door: str) -> None:
    with ApiClient(breaking_door, "key") as client:
        assert client.post("/v1/users:bulk", {"users": []}) == {"stored": 1}

    (path, first, body), (again, second, same) = _Door.seen
    assert (path, first, body) == (again, second, same) and first


def test_a_refused_call_says_what_was_refused_and_why(breaking_door: str) -> None:
    with ApiClient(breaking_door, "key") as client:
        client.post("/warm-up")

        with pytest.raises(CallFailed, match=r"POST /no: 404 .*there is no such thing"):
            client.post("/no", {})


def test_nobody_at_the_door_is_one_clear_line() -> None:
    with pytest.raises(CallFailed, match="does not answer"):
        ApiClient("http://127.0.0.1:1", "key").get("/v1/tenant")
