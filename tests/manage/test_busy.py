"""Who waits in vain for what others hold is told so; only of a server that is away it is said that it does not answer."""

import asyncpg
import pytest
from sqlalchemy import text

from fillip.core.errors import Retry
from fillip.manage.store import postgres
from fillip.manage.store.postgres import open_engine, reach, transaction

LOCK = text("SELECT pg_advisory_xact_lock(1)")


async def test_a_connection_that_others_hold(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "FREE_WITHIN_S", 0.1)
    engine = open_engine(database, connections=1)
    async with transaction(engine):
        with pytest.raises(Retry, match="the database is busy"):
            async with transaction(engine):
                pass
    async with transaction(engine):
        pass
    await engine.dispose()


async def test_a_lock_that_others_hold(database: str) -> None:
    engine = open_engine(database)
    async with transaction(engine) as holder, transaction(engine) as waiting:
        await holder.execute(LOCK)
        await waiting.execute(text("SET LOCAL lock_timeout = '100ms'"))
        with pytest.raises(Retry, match="the database is busy"):
            await reach(waiting.execute(LOCK))
        await waiting.rollback()
    await engine.dispose()


async def test_connections_that_the_server_has_closed_are_replaced(database: str) -> None:
    engine = open_engine(database, connections=2)
    async with transaction(engine) as one, transaction(engine) as other:
        asked = [(await each.execute(text("SELECT pg_backend_pid()"))).scalar_one() for each in (one, other)]
    killer = await asyncpg.connect(database)
    for pid in asked:
        assert await killer.fetchval("SELECT pg_terminate_backend($1, 10000)", pid)  # returns when it has gone
    await killer.close()
    async with transaction(engine) as one, transaction(engine) as other:
        for each in (one, other):
            assert (await each.execute(text("SELECT pg_backend_pid()"))).scalar_one() not in asked
    await engine.dispose()


async def test_a_server_that_is_away() -> None:
    engine = open_engine("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(Retry, match="the database does not answer"):
        async with transaction(engine):
            pass
