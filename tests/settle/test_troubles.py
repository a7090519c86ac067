"""What the ledger's transaction makes of an error: the server is away, is busy, or the batch is at fault."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import asyncpg
import pytest

from fillip.core.errors import Busy, Fenced, Retry
from fillip.migrations import role_dsn
from fillip.settle.postgres import PostgresLedger, PostgresTransaction
from tests.settle.conftest import World

Trouble = Callable[[PostgresTransaction, World], Awaitable[None]]


async def see_it_closed(transaction: PostgresTransaction) -> None:
    async with asyncio.timeout(10):
        with suppress(asyncpg.InterfaceError):  # given back to the pool by then
            while not transaction._connection.is_closed():
                await asyncio.sleep(0.01)


async def idle(transaction: PostgresTransaction, world: World) -> None:
    """A decision that takes longer than PostgreSQL waits for the next statement."""
    await transaction._connection.execute("SET LOCAL idle_in_transaction_session_timeout = '50ms'")
    time.sleep(0.5)
    await transaction._connection.fetchval("SELECT 1")


async def idle_unnoticed(transaction: PostgresTransaction, world: World) -> None:
    await transaction._connection.execute("SET LOCAL idle_in_transaction_session_timeout = '50ms'")
    await see_it_closed(transaction)
    await transaction._connection.fetchval("SELECT 1")


async def terminated(transaction: PostgresTransaction, world: World) -> None:
    world.rows(f"SELECT pg_terminate_backend({transaction._connection.get_server_pid()})")
    await transaction._connection.fetchval("SELECT pg_sleep(10)")


async def slow(transaction: PostgresTransaction, world: World) -> None:
    await transaction._connection.execute("SET LOCAL statement_timeout = '50ms'")
    await transaction._connection.fetchval("SELECT pg_sleep(10)")


async def locked(transaction: PostgresTransaction, world: World) -> None:
    await transaction._connection.execute("SET LOCAL lock_timeout = '50ms'")
    with world.owner.transaction():
        world.owner.execute("SELECT 1 FROM consumer_position FOR UPDATE")
        await transaction._connection.execute("SELECT 1 FROM consumer_position FOR UPDATE")


async def lost_a_race(transaction: PostgresTransaction, world: World) -> None:
    raise Retry("another writer made an inbox first")


BUSY: dict[str, tuple[Trouble, str]] = {
    "idle": (idle, "idle-in-transaction timeout"),
    "idle, unnoticed": (idle_unnoticed, "without a statement"),
    "terminated": (terminated, "administrator command"),
    "slow": (slow, "statement timeout"),
    "lost a race": (lost_a_race, "another writer"),
}


async def test_a_lock_that_others_hold_is_waited_for_and_never_counts_against_a_record(world: World) -> None:
    with pytest.raises(Retry, match="lock timeout") as told:
        async with PostgresLedger(world.pool, "test").open() as transaction:
            await locked(transaction, world)
    assert not isinstance(told.value, Busy)


@pytest.mark.parametrize("trouble", BUSY)
async def test_where_the_server_answers_it_is_busy_and_the_first_error_is_told(world: World, trouble: str) -> None:
    make, said = BUSY[trouble]
    with pytest.raises(Busy, match=said) as told:
        async with PostgresLedger(world.pool, "test").open() as transaction:
            await make(transaction, world)
    assert "__aexit__" not in str(told.value)
    async with PostgresLedger(world.pool, "test").open() as transaction:  # a new connection, and all is well
        assert await transaction._connection.fetchval("SELECT 1") == 1


async def test_a_value_that_no_column_can_hold_is_the_batchs_fault(world: World) -> None:
    with pytest.raises(asyncpg.DataError, match="out of int64 range"):
        async with PostgresLedger(world.pool, "test").open() as transaction:
            await transaction._connection.fetchval("SELECT $1::bigint", 2**63)


async def test_what_the_code_raises_stays_what_it_is(world: World) -> None:
    for error in (KeyError("bug"), Fenced("settled by another")):
        with pytest.raises(type(error)) as told:
            async with PostgresLedger(world.pool, "test").open() as transaction:
                await terminated_quietly(transaction, world)
                raise error
        assert told.value is error


async def terminated_quietly(transaction: PostgresTransaction, world: World) -> None:
    """So that leaving the transaction fails too."""
    world.rows(f"SELECT pg_terminate_backend({transaction._connection.get_server_pid()})")
    await see_it_closed(transaction)


async def test_a_server_that_does_not_answer_is_away(database: str) -> None:
    pool = await asyncpg.create_pool(role_dsn(database, "fillip_worker"), min_size=1, max_size=2)
    ledger = PostgresLedger(pool, "test")
    await pool.close()
    with pytest.raises(Retry) as told:
        async with ledger.open():
            pass
    assert not isinstance(told.value, Busy)
