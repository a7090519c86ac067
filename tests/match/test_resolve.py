"""Events are of who their user is by now; of tenants that have merged nobody PostgreSQL is asked nothing."""

import asyncpg
import pytest

from fillip.core.errors import Retry
from fillip.core.event import Event
from fillip.match.merged_postgres import PostgresMerged
from fillip.match.resolve import Resolve
from tests.match.conftest import Shop


async def test_only_a_tenant_that_has_merged_users_costs_a_question(book_shop: Shop, database: str) -> None:
    pool = await asyncpg.create_pool(database, min_size=1)
    resolve = Resolve(PostgresMerged(pool))
    before = await book_shop.event("anon")
    book_shop.owner.execute("UPDATE tenant SET merged_since = 1, book_version = 1")
    book_shop.owner.execute("INSERT INTO user_merge VALUES ('acme', 'anon', 'm1', 'ada', 'ada', NULL, '{}')")
    book_shop.books.require("acme", 1)
    after = await book_shop.event("anon")

    [resolved] = await resolve([after])
    assert isinstance(resolved, Event)
    assert (resolved.user_id, resolved.sent_as) == ("ada", "anon")
    await pool.close()
    assert await resolve([before]) == [before]
    with pytest.raises(Retry):
        await resolve([before, after])
