"""The door for backfills: up to where events are loaded. It opens to the installation's key."""

import asyncio
from collections.abc import Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fillip.analyse.own_doors.erasures_http import ReadPositions
from fillip.analyse.own_doors.own_door import require_key
from fillip.core.errors import Retry
from fillip.http.received_offsets import PATH, ReceivedOffsets

LOOKS, LOOK_EVERY_S = 20, 0.2
"""Loads are a second apart."""


def received_route(read_positions: ReadPositions, topic: str, key: str) -> Route:
    """GET /internal/received: offsets by partition, of the topic of events."""

    async def answer(request: Request) -> Response:
        require_key(request, key)
        return Response(msgspec.json.encode(await read_offsets(read_positions, topic)), media_type="application/json")

    return Route(PATH, answer, methods=["GET"])


async def read_offsets(read_positions: ReadPositions, topic: str) -> ReceivedOffsets:
    """Up to where events are loaded now. Raises Retry."""
    positions = await read_positions()
    return ReceivedOffsets({number: each.next_offset for (name, number), each in positions.items() if name == topic})


async def wait_until_loaded(read_positions: ReadPositions, topic: str, ends: Mapping[int, int]) -> None:
    """Return once all below these offsets of the topic of events is loaded. Raises Retry where that takes four seconds."""
    for _ in range(LOOKS):
        if (await read_offsets(read_positions, topic)).reach(ends):
            return
        await asyncio.sleep(LOOK_EVERY_S)
    raise Retry("events are not loaded so far yet")
