"""Lets a refusal reach a client that is still sending its body."""

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BYTES = 32 * 1024 * 1024
WITHIN_S = 5.0


class Drain:
    """ASGI: before an error is answered, what is left of the request is taken in and thrown away, within bounds.

    Otherwise the server closes the connection over unread bytes, and the reset overtakes the answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        more = scope["type"] == "http"

        async def take() -> Message:
            nonlocal more
            message = await receive()
            more = bool(message.get("more_body", False))
            return message

        async def answer(message: Message) -> None:
            if more and message["type"] == "http.response.start" and message["status"] >= 400:
                left = MAX_BYTES
                with suppress(TimeoutError):
                    async with asyncio.timeout(WITHIN_S):
                        while more and left > 0:
                            left -= len((await take()).get("body", b""))
            await send(message)

        await self._app(scope, take, answer)
