"""What is computed beside the event loop: nobody's definitions hold up another tenant's."""

import asyncio
import threading

import pytest

from fillip.core.errors import Retry
from fillip.manage.request.aside import MAX_WAITING, Aside


async def test_tenants_take_turns_and_one_that_asks_for_much_waits_for_itself() -> None:
    aside, go, began = Aside(), threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    done: list[object] = []

    def hold() -> None:
        loop.call_soon_threadsafe(began.set)
        assert go.wait(30)
        done.append("first")

    first = asyncio.create_task(aside.run("greedy", hold))
    await began.wait()
    waiting = [asyncio.create_task(aside.run("greedy", done.append, number)) for number in range(MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(Retry, match="send the next one later"):
        await aside.run("greedy", done.append, "too much")
    other = asyncio.create_task(aside.run("other", done.append, "other"))
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(first, other, *waiting)
    assert done == ["first", "other", *range(MAX_WAITING)]
    await aside.run("greedy", done.append, "again")
    assert done[-1] == "again"


async def test_what_is_raised_comes_back_and_frees_the_turn() -> None:
    aside = Aside()
    for _ in range(MAX_WAITING + 2):
        with pytest.raises(ZeroDivisionError):
            await aside.run("acme", lambda: 1 // 0)
