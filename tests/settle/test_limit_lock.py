"""The lock of a tenant's limits: batches share it, a change gets its turn however many batches come."""

import asyncio
import contextlib

import asyncpg
import psycopg
import pytest

from fillip.core.errors import Retry
from fillip.migrations import role_dsn
from tests.settle.conftest import World

HOLDERS = """
    SELECT mode, granted FROM pg_locks JOIN pg_database d ON d.oid = database
    WHERE locktype = 'advisory' AND classid = 7070 AND datname = current_database() ORDER BY mode, granted
"""
RAISE = "UPDATE spending_limit SET cap = cap + 1 WHERE limit_id = 'budget'"


async def wait_for_waiting(world: World, number: int) -> None:
    """Return when so many wait for the lock."""
    async with asyncio.timeout(20):
        while sum(not granted for _, granted in world.rows(HOLDERS)) < number:
            await asyncio.sleep(0.005)


async def test_a_change_goes_before_batches_that_come_later(world: World, database: str):
    """Batch one is at work; a change waits for it, batch two behind the change: it decides by the new cap."""
    world.add_limit("budget", 1)
    async with contextlib.AsyncExitStack() as stack:
        one, two, api = [
            await stack.enter_async_context(_connect(role_dsn(database, trigger)))
            for trigger in ("fillip_worker", "fillip_worker", "fillip_api")
        ]
        at_work, later, changing = one.transaction(), two.transaction(), api.transaction()
        for transaction in (at_work, later, changing):
            await transaction.start()
        await one.execute("SELECT share_limits('{acme,other}')")
        await api.execute("SELECT set_config('app.tenant', 'acme', true)")
        change = asyncio.create_task(api.execute("SELECT hold_limits('acme')"))
        await wait_for_waiting(world, 1)
        behind = asyncio.create_task(two.execute("SELECT share_limits('{acme}')"))
        await wait_for_waiting(world, 2)
        assert not change.done()

        await at_work.commit()
        await change
        assert not behind.done(), "the later batch waits for the change"
        await api.execute(RAISE)
        await changing.commit()
        await behind
        await two.execute("SELECT set_config('app.tenants', 'acme', true)")
        assert await two.fetchval("SELECT cap FROM spending_limit WHERE limit_id = 'budget'") == 2
        await later.commit()


async def test_a_batch_that_waited_for_a_change_decides_by_the_new_cap(world: World, database: str):
    world.add_limit("budget", 1)
    with psycopg.connect(database) as changing:
        changing.execute("SELECT hold_limits('acme')")
        batch = asyncio.create_task(world.play(world.match("e1")))
        await wait_for_waiting(world, 1)
        changing.execute("UPDATE spending_limit SET cap = 0")
    await batch
    assert world.rows("SELECT outcome, reason, limits -> 0 ->> 'cap' FROM decision") == [("denied", "limit", "0")]


async def test_whoever_changes_a_limit_without_asking_waits_for_the_batch_all_the_same(world: World, database: str):
    world.add_limit("budget", 1)
    with psycopg.connect(database) as batch:
        batch.execute("SELECT share_limits('{acme}')")
        for statement in ("UPDATE spending_limit SET cap = 0", "DELETE FROM spending_limit"):
            with pytest.raises(psycopg.errors.LockNotAvailable):
                world.owner.execute(statement)


async def test_a_batch_of_thousands_of_tenants_takes_few_locks(world: World):
    async with world.pool.acquire() as batch, batch.transaction():
        await batch.execute("SELECT share_limits($1)", [f"tenant-{number}" for number in range(20_000)])
        assert len(world.rows(HOLDERS)) == 256


async def test_batches_reversals_changes_of_limits_and_of_campaigns_get_by_each_other(world: World, database: str):
    """Four writers at once, each in the one lock order: no deadlock, and every one comes to its end."""
    world.add_limit("budget", 10_000, measure="value", reward_kind="cashback")
    rounds, deadlocks = 25, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    [before] = world.rows(deadlocks)
    caught: list[str] = []

    async def settle(partition: int) -> None:
        for number in range(rounds):
            event = world.match(f"e{partition}-{number}", f"u{number % 3}", partition=partition)
            again = world.reversal(
                f"r{partition}-{number}", f"e{partition}-{number}", f"u{number % 3}", partition=partition
            )
            for items in ([event], [again]):
                await _insist(world, items, caught)

    async def change(statement: str, *, limits: bool) -> None:
        async with _connect(role_dsn(database, "fillip_api")) as api:
            for _ in range(rounds):
                async with api.transaction():
                    await api.execute("SELECT set_config('app.tenant', 'acme', true)")
                    if limits:
                        await api.execute("SELECT hold_limits('acme')")
                    await api.execute("SELECT FROM tenant WHERE tenant_id = 'acme' FOR UPDATE")
                    await api.execute(statement)
                    await api.execute("UPDATE tenant SET book_version = book_version + 1 WHERE tenant_id = 'acme'")

    launch = "UPDATE campaign SET revision = revision + 1 WHERE campaign_id = 'give'"
    async with asyncio.timeout(120):
        await asyncio.gather(settle(0), settle(1), change(RAISE, limits=True), change(launch, limits=False))
    assert world.rows(deadlocks) == [before]
    assert caught == [], "nobody had to begin anew"
    assert world.rows("SELECT cap FROM spending_limit") == [(10_000 + rounds,)]
    assert world.rows("SELECT used FROM limit_counter") == [(0,)]
    assert world.rows("SELECT count(*) FROM decision WHERE outcome = 'granted'") == [(2 * rounds,)]


async def _insist(world: World, items: list, caught: list[str]) -> None:
    """Settle as the belt does: again after Retry, of which a race for a row that is not there yet is one."""
    batch = world.batch(*items)
    while True:
        try:
            return await world.settle(batch, items)
        except Retry as error:
            if "made an inbox or a counter" not in str(error) and "UniqueViolation" not in str(error):
                caught.append(str(error))


@contextlib.asynccontextmanager
async def _connect(dsn: str):
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()
