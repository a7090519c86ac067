"""A small HTTP client of Fillip's own API, on the standard library."""

from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, NoReturn, Self
from urllib.parse import SplitResult, urlencode, urlsplit
from uuid import uuid4

import msgspec
from msgspec import Struct, json

from fillip.core.errors import Crash
from fillip.core.problem import Fault

ANSWER_WITHIN_S = 60
MAX_QUOTED = 500
"""Characters of an answer that is no problem which a message repeats."""


class CallFailed(Crash):
    """A request was refused, or nobody answered: names the call and the answer's own words."""


class _Told(Struct):
    """What of a problem a message repeats."""

    detail: str
    errors: tuple[Fault, ...] = ()


class CallRefused(CallFailed):
    """The API answered with an error: its status and headers, what it said, and what was wrong where."""

    def __init__(self, call: str, answer: HTTPResponse, told: _Told) -> None:
        more = "".join(
            f"; {each.at or 'body'}: {each.message}" for each in told.errors if each.message not in told.detail
        )
        super().__init__(f"{call}: {answer.status} {answer.reason}: {told.detail}{more}")
        self.status = answer.status
        self.headers = answer.headers
        self.said = told.detail
        self.faults = told.errors


class ApiClient:
    """Requests with one key on one kept-alive connection, which `with` closes. Not for several threads at once."""

    def __init__(self, base: str, key: str) -> None:
        """`base` such as https://fillip.example; `key` goes into every request. Raises Crash for one that is none."""
        if not key.isascii() or not key.isprintable():
            raise Crash("the key has characters that no key has: copy it whole, without what stands around it")
        self._address = _split_base(base)
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

    def patch(self, path: str, body: object) -> Any:  # noqa: ANN401
        """PATCH JSON; the decoded answer."""
        return self._call("PATCH", path, body, {})

    def delete(self, path: str) -> None:
        """DELETE."""
        self._call("DELETE", path, None, {})

    def get(self, path: str, **filters: object) -> Any:  # noqa: ANN401
        """GET, with those of the parameters that are not None; the decoded answer."""
        given = {name: value for name, value in filters.items() if value is not None}
        return self._call("GET", f"{path}?{urlencode(given)}" if given else path, None, {})

    def get_text(self, path: str) -> str:
        """GET what is no JSON."""
        return self._ask("GET", path, None, {}).decode(errors="replace")

    def list(self, path: str, **filters: object) -> Iterator[Any]:
        """The items of all pages of a list, each page read when it is come to."""
        cursor = None
        while True:
            page = self.get(path, **filters, limit=200, cursor=cursor)
            yield from page["items"]
            if (cursor := page["next_cursor"]) is None:
                return

    def _call(self, method: str, path: str, body: object, headers: Mapping[str, str]) -> Any:  # noqa: ANN401
        said = self._ask(method, path, body, headers)
        try:
            return json.decode(said) if said else None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise CallFailed(f"{method} {path}: the answer is no JSON: is that Fillip's API?") from None

    def _ask(self, method: str, path: str, body: object, headers: Mapping[str, str]) -> bytes:
        raw = body if isinstance(body, bytes) else b"" if body is None else json.encode(body)
        media = "text/csv" if isinstance(body, bytes) else "application/json"
        whole = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        whole |= {"Content-Type": media, **headers}
        try:
            answer, said = self._exchange(method, path, raw, whole)
        except (OSError, HTTPException):
            try:
                self.close()
                answer, said = self._exchange(method, path, raw, whole)
            except (OSError, HTTPException) as error:
                self.close()
                reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
                raise CallFailed(f"{method} {path}: {self._address.geturl()} does not answer: {reason}") from error
        if answer.status >= 300:
            _refuse(f"{method} {path}", answer, said)
        return said

    def _exchange(self, method: str, path: str, raw: bytes, headers: Mapping[str, str]) -> tuple[HTTPResponse, bytes]:
        if self._connection is None:
            connect = HTTPSConnection if self._address.scheme == "https" else HTTPConnection
            self._connection = connect(self._address.hostname or "", self._address.port, timeout=ANSWER_WITHIN_S)
        self._connection.request(method, self._address.path.rstrip("/") + path, raw, dict(headers))
        answer = self._connection.getresponse()
        return answer, answer.read()


def _split_base(base: str) -> SplitResult:
    try:
        parts = urlsplit(base)
        if parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port):
            return parts
    except ValueError:
        pass
    raise Crash(f"{base!r} is no address of an API, such as https://fillip.example or http://127.0.0.1:8080")


def _refuse(call: str, answer: HTTPResponse, said: bytes) -> NoReturn:
    try:
        told = json.decode(said, type=_Told)
    except (msgspec.MsgspecError, UnicodeDecodeError):  # not of Fillip: of a proxy before it
        told = _Told(said.decode(errors="replace")[:MAX_QUOTED])
    raise CallRefused(call, answer, told)
