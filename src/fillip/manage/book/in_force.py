"""When a change of the book is in force: once every worker that lives decides under it."""

import asyncio
import time

from fastapi import Response

from fillip.core.errors import Retry
from fillip.core.ports import Caller
from fillip.manage.book.postgres import find_force
from fillip.manage.store.postgres import Engine, transaction

FORCE_WITHIN_S = 10.0
LOOK_AGAIN_S = 0.005
"""At first; then after a quarter of what was waited already: a look costs as much as a read."""


async def tell_force(engine: Engine, caller: Caller, version: int, response: Response) -> bool:
    """Wait as await_force does, and say in the headers too what came of it."""
    response.headers["Fillip-Book-Version"] = str(version)
    is_in_force = await await_force(engine, caller, version)
    response.headers["Fillip-In-Force"] = "true" if is_in_force else "false"
    return is_in_force


async def await_force(engine: Engine, caller: Caller, version: int) -> bool:
    """Wait until a committed change is in force, at most FORCE_WITHIN_S; whether it is."""
    began_at = time.monotonic()
    while not (is_in_force := await _is_in_force(engine, caller, version)):
        waited_s = time.monotonic() - began_at
        if waited_s > FORCE_WITHIN_S:
            break
        await asyncio.sleep(max(LOOK_AGAIN_S, min(waited_s / 4, 0.25)))
    return is_in_force


async def _is_in_force(engine: Engine, caller: Caller, version: int) -> bool:
    try:
        async with transaction(engine, caller) as connection:
            lowest = await find_force(connection, caller)
    except Retry:  # the change is made; whether it is in force can't be told now
        return False
    return lowest is None or lowest >= version
