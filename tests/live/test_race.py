"""From an event to a coupon in the user's hand to the till: of 64 tills at once, exactly one redeems it."""

import pytest

from fillip.app.up import Stack
from tests.proof.race import grant_coupons, race

pytestmark = pytest.mark.xdist_group("live")
ROUNDS = 5


async def test_exactly_one_till_redeems_each_coupon(stack: Stack) -> None:
    key, codes = await grant_coupons(stack, ROUNDS)
    assert len(set(codes)) == ROUNDS
    assert await race(stack, key, codes) == {1: ROUNDS}
