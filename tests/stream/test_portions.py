"""A stage that computes in portions lets others go on."""

import asyncio

from fillip.stream.belt import PORTION, take_portions


async def test_all_items_come_in_order_and_others_go_on_in_between() -> None:
    items, turns = list(range(3 * PORTION + 7)), 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(turn())
    found = [item async for portion in take_portions(items) for item in portion]
    other.cancel()

    assert found == items
    assert turns == 3


async def test_a_small_batch_is_not_delayed() -> None:
    other = asyncio.create_task(asyncio.sleep(0, "went on"))

    assert [portion async for portion in take_portions([1])] == [[1]]
    assert not other.done()
    await other
