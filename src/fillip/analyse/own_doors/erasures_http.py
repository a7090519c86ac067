"""The door for Fillip's own processes: erases a user from what reports are made of. It opens to the installation's key."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fillip.analyse.facts import Position
from fillip.analyse.own_doors.own_door import read_question
from fillip.http.erasure_order import PATH, ErasureOrder, ErasureOutcome
from fillip.http.errors import Conflict
from fillip.stream.topics import Partition

ReadPositions = Callable[[], Awaitable[Mapping[Partition, Position]]]
Erase = Callable[[ErasureOrder], Awaitable[str]]


class Store(Struct, frozen=True):
    """One that holds facts: how far it is loaded, and what erases a user from it; None for `topics`: it loads them all."""

    read_positions: ReadPositions
    erase: Erase
    topics: Collection[str] | None = None


def erasures_route(stores: Sequence[Store], key: str) -> Route:
    """POST /internal/erasures: an order; as JSON, whether it is done. One at a time, one store after the other."""
    turn = asyncio.Lock()

    async def answer(request: Request) -> Response:
        order = await read_question(request, key, ErasureOrder)
        for store in stores:
            if behind := await _find_behind(order, store):
                return _tell(ErasureOutcome(done=False, pending=f"{behind} is still to be loaded"))
        if turn.locked():
            raise Conflict("another user is being erased: ask again")
        async with turn:
            for store in stores:
                if pending := await store.erase(order):
                    return _tell(ErasureOutcome(done=False, pending=pending))
        return _tell(ErasureOutcome(done=True))

    return Route(PATH, answer, methods=["POST"])


async def _find_behind(order: ErasureOrder, store: Store) -> str | None:
    positions = await store.read_positions()
    for topic, ends in order.ends.items():
        if store.topics is not None and topic not in store.topics:
            continue
        for number, end in ends.items():
            at = positions.get((topic, number))
            if at is None or at.next_offset < end:
                return topic
    return None


def _tell(outcome: ErasureOutcome) -> Response:
    return Response(msgspec.json.encode(outcome), media_type="application/json")
