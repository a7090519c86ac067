"""Coupon codes made in the background: exactly as many as ordered, none twice, whatever is killed in between."""

import asyncio
import re
from collections.abc import AsyncIterator

import asyncpg
import pytest

from fillip.migrations import role_dsn
from fillip.settle.coupons.codes import make_codes
from fillip.settle.coupons.postgres import PORTION_CODES, PostgresDueCodes
from tests.builders import T0
from tests.settle.conftest import World


@pytest.fixture
async def due_codes(world: World, database: str) -> AsyncIterator[PostgresDueCodes]:
    """What the publish process runs; a pool `spring`."""
    world.owner.execute("INSERT INTO coupon_pool VALUES ('acme', 'spring', 'Spring')")
    async with asyncpg.create_pool(role_dsn(database, "fillip_sweep"), min_size=1, max_size=2) as finder:
        yield PostgresDueCodes(finder, world.pool)


def order(world: World, wanted: int, pattern: str = "####-####-####-####") -> None:
    """A generation for the pool."""
    statement = "INSERT INTO coupon_generation (tenant_id, pool_id, pattern, wanted) VALUES ('acme', 'spring', %s, %s)"
    world.owner.execute(statement, [pattern, wanted])


def test_codes_follow_their_pattern_and_no_two_symbols_look_alike():
    codes = make_codes("SPRING-####-#########", 1000)
    assert len(set(codes)) == 1000
    assert all(re.fullmatch("SPRING-[2-9A-HJ-NP-Z]{4}-[2-9A-HJ-NP-Z]{9}", code) for code in codes)
    assert len({symbol for code in codes for symbol in code[7:]} - {"-"}) == 32


async def test_a_generation_is_worked_off_in_portions_to_exactly_what_was_ordered(
    world: World, due_codes: PostgresDueCodes
):
    order(world, 2 * PORTION_CODES + 1)
    assert [await due_codes.move_due(T0) for _ in range(4)] == [PORTION_CODES, PORTION_CODES, 1, 0]
    assert world.rows("SELECT made, finished_at IS NOT NULL FROM coupon_generation") == [(2 * PORTION_CODES + 1, True)]
    assert world.rows("SELECT count(*) FROM coupon WHERE pool_id = 'spring'") == [(2 * PORTION_CODES + 1,)]


async def test_codes_that_collide_are_made_up_for(world: World, due_codes: PostgresDueCodes):
    """Given a pattern with 32 codes of which 30 are there, when two are ordered, then it gets the other two."""
    world.owner.execute(
        "INSERT INTO coupon SELECT 'acme', 'X' || s, 'spring' FROM unnest(%s::text[]) s",
        [list("23456789ABCDEFGHJKLMNPQRSTUVWX")],
    )
    order(world, 2, "X#")
    while await due_codes.move_due(T0):
        pass
    assert world.rows("SELECT code FROM coupon ORDER BY code DESC LIMIT 2") == [("XZ",), ("XY",)]
    assert world.rows("SELECT made, finished_at IS NOT NULL FROM coupon_generation") == [(2, True)]


async def test_no_code_is_made_that_would_be_taken_for_another(world: World, due_codes: PostgresDueCodes):
    """Given codes of this and of a case-sensitive pool that differ from the pattern's by case alone, then these are left out."""
    world.owner.execute("INSERT INTO coupon_pool VALUES ('acme', 'exact', 'Exact', now(), true)")
    for pool, exact, codes in (("spring", False, "23456789abcdefgh"), ("exact", True, "jklmnpqrstuvwx")):
        world.owner.execute(
            "INSERT INTO coupon (tenant_id, code, pool_id, case_sensitive) SELECT 'acme', 'x' || s, %s, %s FROM unnest(%s::text[]) s",
            [pool, exact, list(codes)],
        )
    order(world, 2, "X#")
    while await due_codes.move_due(T0):
        pass
    assert world.rows("SELECT code FROM coupon WHERE code < 'a' ORDER BY code") == [("XY",), ("XZ",)]


async def test_two_publishers_share_the_work_and_count_it_once(world: World, due_codes: PostgresDueCodes):
    order(world, 3 * PORTION_CODES)
    while sum(await asyncio.gather(due_codes.move_due(T0), due_codes.move_due(T0))):
        pass
    assert world.rows("SELECT count(*) FROM coupon") == [(3 * PORTION_CODES,)]
    assert world.rows("SELECT made FROM coupon_generation") == [(3 * PORTION_CODES,)]
