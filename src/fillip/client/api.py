"""A small HTTP client of Fillip's own API, on the standard library."""

from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import uuid4

from msgspec import json

from fillip.core.errors import Crash

ANSWER_WITHIN_S = 60


class CallFailed(Crash):
    """A request was refused, or nobody answered: names the call and the answer's own words."""


class ApiClient:
    """Requests with one key on one kept-alive connection, which `with` closes. Not for several threads at once."""

    def __init__(self, base: str, key: str) -> None:
        """`base` such as http://127.0.0.1:8080; `key` goes into every request."""
        self._address = urlsplit(base).netloc
        self._key = key
        self._connection: HTTPConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; a further request opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def post(self, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401
        """POST JSON with an Idempotency-Key, so that a broken connection may be retried; the decoded answer."""
        return self._call("POST", path, body, {"Idempotency-Key": uuid4().hex, **(headers or {})})

    def put(self, path: str, body: object, headers: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401
        """PUT JSON, or text/csv where `body` is bytes; the decoded answer."""
        return self._call("PUT", path, body, headers or {})

    def get(self, path: str) -> Any:  # noqa: ANN401
        """GET; the decoded answer."""
        return self._call("GET", path, None, {})

    def _call(self, method: str, path: str, body: object, headers: Mapping[str, str]) -> Any:  # noqa: ANN401
        raw = body if isinstance(body, bytes) else b"" if body is None else json.encode(body)
        media = "text/csv" if isinstance(body, bytes) else "application/json"
        whole = {"Authorization": f"Bearer {self._key}", "Content-Type": media, **headers}
        try:
            answer, said = self._exchange(method, path, raw, whole)
        except (OSError, HTTPException):
            try:
                self.close()
                answer, said = self._exchange(method, path, raw, whole)
            except (OSError, HTTPException) as error:
                raise CallFailed(f"{method} {path}: {self._address} does not answer: {error!r}") from error
        if answer.status >= 300:
            raise CallFailed(f"{method} {path}: {answer.status} {said.decode(errors='replace')[:500]}")
        return json.decode(said) if said else None

    def _exchange(self, method: str, path: str, raw: bytes, headers: Mapping[str, str]) -> tuple[HTTPResponse, bytes]:
        if self._connection is None:
            host, _, port = self._address.partition(":")
            self._connection = HTTPConnection(host, int(port), timeout=ANSWER_WITHIN_S)
        self._connection.request(method, path, raw, dict(headers))
        answer = self._connection.getresponse()
        return answer, answer.read()
