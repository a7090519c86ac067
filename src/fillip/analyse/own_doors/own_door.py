"""What the doors for Fillip's own processes have in common: they open to the installation's key, and read one object."""

import asyncio
from hmac import compare_digest
from typing import TypeVar

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.types import Send

from fillip.analyse.query.queries import Answer
from fillip.analyse.query.query_http import write_headers
from fillip.http.bearer import read_bearer
from fillip.http.body import JsonRequest
from fillip.http.errors import Invalid, Unauthorized

Question = TypeVar("Question", bound=Struct)
PIECE_BYTES = 1024 * 1024
"""A page of events has up to a thousand of the usual ones, and each is a turn of a thread, of the loop and of who reads."""
SENT_WITHIN_S = 300.0
"""Who reads more slowly is cut off: the answer keeps the tenant's next query waiting."""


def require_key(request: Request, key: str) -> None:
    """Raise Unauthorized unless the request comes with the installation's key."""
    if not compare_digest(read_bearer(request.headers).encode(), key.encode()):
        raise Unauthorized("this door is for Fillip's own processes: the key is not FILLIP_ANALYSE_KEY")


async def send_answer(request: Request, answer: Answer, media_type: str, send: Send) -> None:
    """Send the rows of an answer, whose context is open."""
    response = FileResponse(answer.file, headers=write_headers(request, answer), media_type=media_type)
    response.chunk_size = PIECE_BYTES
    scope = {**request.scope, "extensions": {}}  # by `pathsend` the server would open the file once it is gone
    async with asyncio.timeout(SENT_WITHIN_S):
        await response(scope, request.receive, send)


async def read_question(request: Request, key: str, kind: type[Question]) -> Question:
    """What is asked for, with the installation's key. Raises HttpRefused."""
    require_key(request, key)
    taken = JsonRequest(request.scope, request.receive)
    if not await taken.body():
        raise Invalid("send what is asked for", at="")
    await taken.read_json()
    try:
        return msgspec.convert(await taken.json(), kind, str_keys=True)
    except msgspec.ValidationError as error:
        raise Invalid(str(error), at="") from None
