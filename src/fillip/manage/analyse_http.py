"""How analyse is asked at its doors for Fillip's own processes, which open to the installation's own key."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import httpx
import msgspec
from msgspec import Struct

from fillip.core.errors import Refused, Retry

CONNECT_WITHIN_S, ANSWER_WITHIN_S = 3.0, 340.0
"""A query waits at most 20 s and runs at most 300."""


Told = TypeVar("Told", bound=Struct)


class _Fault(Struct):
    at: str = ""


class _Problem(Struct):
    detail: str = ""
    errors: list[_Fault] = []


def open_client(url: str, key: str) -> httpx.AsyncClient:
    """A client of analyse at `url`; to be closed."""
    patience = httpx.Timeout(ANSWER_WITHIN_S, connect=CONNECT_WITHIN_S, pool=CONNECT_WITHIN_S)
    return httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=patience)


@asynccontextmanager
async def stream_answer(
    client: httpx.AsyncClient,
    path: str,
    question: Struct | None = None,
    within_s: float = ANSWER_WITHIN_S,
    refusal: type[Refused] = Refused,
) -> AsyncIterator[httpx.Response]:
    """The answer to a question, or to a path alone, as it comes; `client` is of open_client.

    Raises `refusal` for 422, with the problem's detail and its place; Retry for all else, and for an answer that can't be read.
    """
    asked = client.build_request(
        "GET" if question is None else "POST",
        path,
        content=None if question is None else msgspec.json.encode(question),
        headers={"Content-Type": "application/json"},
        timeout=httpx.Timeout(within_s, connect=CONNECT_WITHIN_S, pool=CONNECT_WITHIN_S),
    )
    try:
        answer = await client.send(asked, stream=True)
        try:
            if answer.is_error:
                raise _explain(answer.status_code, await answer.aread(), refusal)
            yield answer
        finally:
            await answer.aclose()
    except (httpx.TransportError, msgspec.MsgspecError) as error:
        raise Retry(f"analyse does not answer: try again in a moment ({type(error).__name__})") from error


async def ask(
    client: httpx.AsyncClient, path: str, question: Struct | None = None, within_s: float = ANSWER_WITHIN_S
) -> bytes:
    """The whole answer. Raises Refused and Retry, as stream_answer does."""
    async with stream_answer(client, path, question, within_s) as answer:
        return await answer.aread()


async def ask_for(client: httpx.AsyncClient, path: str, kind: type[Told], question: Struct | None = None) -> Told:
    """The answer, of this kind. Raises Refused and Retry, as stream_answer does."""
    async with stream_answer(client, path, question) as answer:
        return msgspec.json.decode(await answer.aread(), type=kind)


def _explain(status: int, content: bytes, refusal: type[Refused]) -> Refused | Retry:
    try:
        problem = msgspec.json.decode(content, type=_Problem)
    except msgspec.MsgspecError:
        problem = _Problem()
    if status == 422:
        return refusal(problem.detail, at=problem.errors[0].at if problem.errors else None)
    return Retry(f"analyse answered {status}: {problem.detail or 'without a reason'}")
