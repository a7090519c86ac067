"""Ends a request whose body comes too slowly."""

import asyncio
from contextlib import suppress

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fillip.http.errors import TooSlow
from fillip.http.problems import answer_refused

WITHIN_S = 20.0
BYTES_PER_S = 64 * 1024
"""A body has a second more for as many of its bytes as have come: of the largest upload, about 18 minutes."""


class BodyDeadline:
    """ASGI: a body that is not there in time is answered with 408; to the application it is a client that has gone."""

    def __init__(self, app: ASGIApp, within_s: float = WITHIN_S) -> None:
        self._app = app
        self._within_s = within_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        due = asyncio.get_running_loop().time() + self._within_s
        more, late, answered = scope["type"] == "http", False, False

        async def take() -> Message:
            nonlocal due, more, late
            if not more:
                return await receive()
            try:
                async with asyncio.timeout_at(due):
                    message = await receive()
            except TimeoutError:
                more, late = False, True
                return {"type": "http.disconnect"}
            due += len(message.get("body", b"")) / BYTES_PER_S
            more = bool(message.get("more_body", False))
            return message

        async def answer(message: Message) -> None:
            nonlocal answered
            if answered or not late:
                answered = True
                await send(message)

        with suppress(ClientDisconnect):  # nobody is left to be answered
            await self._app(scope, take, answer)
        if late and not answered:
            refused = TooSlow(
                f"the body did not come within {self._within_s:g} s, and a second for each {BYTES_PER_S} bytes of it"
            )
            refused.headers = {"Connection": "close"}
            await answer_refused(Request(scope), refused)(scope, receive, send)
