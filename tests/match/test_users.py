"""Users' attributes kept in the worker: never older than what was committed before the batch, bounded, and fair."""

import asyncio
import random
from collections.abc import Collection, Mapping
from typing import Any

import asyncpg
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json

from fillip.core.errors import Retry
from fillip.core.ports import StoredUser
from fillip.match.kept_users import ENTRY_BYTES, KeptUsers, UserKey
from fillip.match.sql import SQL
from fillip.match.users_postgres import PostgresUsers
from fillip.migrations import role_dsn
from tests.match.conftest import Shop

SLOTS = 4096


class Watched(PostgresUsers):
    """Notes who is read from PostgreSQL; what was fetched is `held` until it is let go."""

    def __init__(self, pool: asyncpg.Pool, kept: KeptUsers | None = None) -> None:
        super().__init__(pool, kept)
        self.fetched: list[str] = []
        self.held: asyncio.Event | None = None
        self.waiting = asyncio.Event()

    async def fetch(self, connection: Any, users: Collection[UserKey]) -> dict[UserKey, StoredUser]:
        read = await super().fetch(connection, users)
        self.fetched += sorted(user_id for _, user_id in users)
        if self.held:
            self.waiting.set()
            await self.held.wait()
        return read

    async def tiers(self, *user_ids: str, tenant: str = "acme") -> list[str | None]:
        """What a batch of these users sees; None for one without a row."""
        found = await self.read([(tenant, user_id) for user_id in user_ids])
        return [_tell_tier(found.get((tenant, user_id))) for user_id in user_ids]

    def take_fetched(self) -> list[str]:
        """Who was read since the last look."""
        fetched, self.fetched = self.fetched, []
        return fetched


def _tell_tier(stored: StoredUser | None) -> str | None:
    return str(json.decode(stored.attributes)["tier"]) if stored else None


@pytest.fixture
def users(book_shop: Shop) -> Watched:
    return Watched(book_shop.pool)


def write(owner: psycopg.Connection, tier: str, *user_ids: str, tenant: str = "acme") -> None:
    owner.execute(
        "INSERT INTO end_user (tenant_id, user_id, attributes)"
        " SELECT %s, each, jsonb_build_object('tier', %s::text) FROM unnest(%s::text[]) AS each"
        " ON CONFLICT (tenant_id, user_id) DO UPDATE"
        " SET attributes = excluded.attributes, revision = end_user.revision + 1",
        [tenant, tier, list(user_ids)],
    )


async def test_what_is_known_is_not_read_again_until_it_changes(book_shop: Shop, users: Watched):
    write(book_shop.owner, "gold", "ann", "bob")
    assert await users.tiers("ann", "bob", "cid") == ["gold", "gold", None]
    assert users.take_fetched() == ["ann", "bob", "cid"]
    assert await users.tiers("ann", "bob", "cid") == ["gold", "gold", None]
    assert users.take_fetched() == []
    write(book_shop.owner, "blue", "bob")
    assert await users.tiers("ann", "bob", "cid") == ["gold", "blue", None]
    assert users.take_fetched() == ["bob"]


async def test_each_way_of_writing_is_seen_by_the_next_batch(book_shop: Shop, users: Watched):
    assert await users.tiers("ann") == [None]
    write(book_shop.owner, "gold", "ann")
    assert await users.tiers("ann") == ["gold"]
    book_shop.owner.execute("""UPDATE end_user SET attributes = '{"tier": "blue"}', revision = 2""")
    assert await users.tiers("ann") == ["blue"]
    assert (await users.read([("acme", "ann")]))["acme", "ann"].revision == 2
    book_shop.owner.execute("DELETE FROM end_user")
    assert await users.tiers("ann") == [None]


async def test_more_changes_than_are_noted_drop_all_of_the_tenant_and_of_no_other(book_shop: Shop, users: Watched):
    _open_tenant(book_shop, "other")
    for tenant in ("acme", "other"):
        write(book_shop.owner, "gold", "ann", "bob", tenant=tenant)
        assert await users.tiers("ann", "bob", tenant=tenant) == ["gold", "gold"]
    write(book_shop.owner, "blue", "ann", *(f"u{number}" for number in range(SLOTS)))
    users.take_fetched()
    assert await users.tiers("ann", "bob") == ["blue", "gold"]
    assert users.take_fetched() == ["ann", "bob"]
    assert await users.tiers("ann", "bob", tenant="other") == ["gold", "gold"]
    assert users.take_fetched() == []


async def test_as_many_changes_as_are_noted_drop_those_that_changed_alone(book_shop: Shop, users: Watched):
    write(book_shop.owner, "gold", "ann", "bob")
    await users.tiers("ann", "bob")
    users.take_fetched()
    write(book_shop.owner, "blue", "ann", *(f"u{number}" for number in range(SLOTS - 1)))
    assert await users.tiers("ann", "bob") == ["blue", "gold"]
    assert users.take_fetched() == ["ann"]


async def test_a_row_read_before_a_change_is_not_kept_after_it(book_shop: Shop):
    """Given a read under way while the change comes, and another batch that hears of the change first."""
    write(book_shop.owner, "gold", "ann")
    kept = KeptUsers()
    slow, quick = Watched(book_shop.pool, kept), Watched(book_shop.pool, kept)
    slow.held = asyncio.Event()
    reading = asyncio.create_task(slow.tiers("ann"))
    await asyncio.wait_for(slow.waiting.wait(), 10)
    write(book_shop.owner, "blue", "ann")
    assert await quick.tiers("cid") == [None]
    slow.held.set()
    assert await reading == ["gold"]  # its batch was taken before the change
    assert await quick.tiers("ann") == ["blue"]


async def test_another_server_has_another_history(book_shop: Shop, users: Watched, monkeypatch: pytest.MonkeyPatch):
    write(book_shop.owner, "gold", "ann")
    await users.tiers("ann")
    users.take_fetched()
    monkeypatch.setitem(SQL, "user_heads", SQL["user_heads"].replace("pg_postmaster_start_time()", "now()"))
    assert await users.tiers("ann") == ["gold"]
    assert users.take_fetched() == ["ann"]


async def test_fewer_changes_than_before_mean_that_the_tables_were_restored(book_shop: Shop, users: Watched):
    write(book_shop.owner, "gold", "ann")
    write(book_shop.owner, "blue", "ann")
    assert await users.tiers("ann") == ["blue"]
    with book_shop.owner.transaction():
        book_shop.owner.execute("ALTER TABLE end_user DISABLE TRIGGER USER")
        write(book_shop.owner, "gold", "ann")
        book_shop.owner.execute("UPDATE user_change_head SET last_number = 1")
        book_shop.owner.execute("ALTER TABLE end_user ENABLE TRIGGER USER")
    assert await users.tiers("ann") == ["gold"]


async def test_what_is_kept_is_not_used_while_postgres_does_not_answer(book_shop: Shop, database: str):
    async with asyncpg.create_pool(role_dsn(database, "fillip_worker"), min_size=1, max_size=1) as pool:
        users = Watched(pool)
        write(book_shop.owner, "gold", "ann")
        await users.tiers("ann")
        book_shop.owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'fillip_worker'"
        )
        with pytest.raises(Retry):
            await users.tiers("ann")
        assert await users.tiers("ann") == ["gold"]


async def test_writers_side_by_side_are_each_seen_from_their_commit_on(book_shop: Shop, database: str):
    """Given writers whose transactions overlap, then a batch taken after a commit has that revision or a later one."""
    names, committed = [f"u{number}" for number in range(6)], dict[str, int]()
    users = Watched(book_shop.pool)

    async def write_on(seed: int) -> None:
        dice = random.Random(seed)
        connection = await asyncpg.connect(database)
        for _ in range(40):
            async with connection.transaction():
                some = sorted(dice.sample(names, 2))
                rows = await connection.fetch(
                    "INSERT INTO end_user (tenant_id, user_id) SELECT 'acme', each FROM unnest($1::text[]) AS each"
                    " ON CONFLICT (tenant_id, user_id) DO UPDATE SET revision = end_user.revision + 1"
                    " RETURNING user_id, revision",
                    some,
                )
                await asyncio.sleep(dice.random() / 500)
            for name, revision in rows:
                committed[name] = max(revision, committed.get(name, 0))
        await connection.close()

    async def look_on() -> int:
        looks = 0
        while not writing.done():
            wanted = dict(committed)
            found = await users.read([("acme", name) for name in names])
            stale = {n: r for n, r in wanted.items() if ("acme", n) not in found or found["acme", n].revision < r}
            assert not stale, f"{stale} were committed before"
            looks += 1
        return looks

    writing = asyncio.gather(*(write_on(seed) for seed in range(4)))
    first, second = await asyncio.gather(look_on(), look_on())
    await writing
    assert min(first, second) > 20


async def test_a_worker_sees_who_changed_in_the_tenants_of_its_batch_alone(book_shop: Shop):
    write(book_shop.owner, "gold", "ann")
    async with book_shop.pool.acquire() as connection, connection.transaction():
        assert await connection.fetch("SELECT * FROM user_change") == []
        await connection.execute("SELECT set_config('app.tenants', 'acme', true)")
        assert [row["user_id"] for row in await connection.fetch("SELECT user_id FROM user_change")] == ["ann"]


async def test_a_decision_is_told_the_revision_that_it_went_by(book_shop: Shop):
    book_shop.launch("gold", 'user.tier == "gold"')
    book_shop.launch("all")
    write(book_shop.owner, "blue", "ann")
    write(book_shop.owner, "gold", "ann")
    [ann, nobody] = await book_shop.meet([await book_shop.event("ann"), await book_shop.event("nobody")])
    assert (ann.user, ann.user_revision, len(ann.candidates)) == ({"tier": "gold"}, 2, 2)
    assert (nobody.user, nobody.user_revision, len(nobody.candidates)) == (None, None, 1)


SIZES = st.lists(
    st.tuples(st.sampled_from("aaaaaabbc"), st.integers(0, 60), st.integers(0, 2000)), min_size=80, max_size=160
)
ROOM = 40_000


@settings(deadline=None)
@given(SIZES)
def test_there_is_never_more_than_the_room_and_who_has_less_than_a_share_loses_nothing(
    writes: list[tuple[str, int, int]],
):
    kept, asked = KeptUsers(ROOM), dict[str, dict[str, StoredUser]]()
    for tenant, number, size in writes:
        kept.follow("server", {tenant: 0})
        user, stored = (tenant, f"u{number}"), StoredUser(1, b"x" * size)
        asked.setdefault(tenant, {})[user[1]] = stored
        kept.keep(kept.mark([tenant]), [user], {user: stored})
        assert kept.bytes <= ROOM
    for tenant, mine in asked.items():
        found, missing = kept.find([(tenant, user_id) for user_id in mine])
        assert all(mine[user_id] == stored for (_, user_id), stored in found.items())
        if _bound(mine) <= (ROOM - ROOM // 32) / 3:
            assert missing == []
    for tenant in asked:
        kept.forget(tenant)
    assert kept.bytes == 0


def _bound(users: Mapping[str, StoredUser]) -> int:
    return sum(ENTRY_BYTES + 200 + len(each.attributes) for each in users.values())


def test_the_longest_unused_go_first():
    kept = KeptUsers(40 * 600)
    kept.follow("server", {"a": 0})
    users = [("a", f"u{number:03}") for number in range(60)]
    for user in users:
        kept.keep(kept.mark(["a"]), [user], {user: StoredUser(1, b"x" * 200)})
        kept.find(users[:5])
    found, _ = kept.find(users)
    assert set(users[:5]) | set(users[-10:]) <= found.keys()
    assert len(found) < 60


def _open_tenant(shop: Shop, tenant_id: str) -> None:
    shop.owner.execute(
        "INSERT INTO tenant (tenant_id, name, time_zone, currency, clock) VALUES (%s, 'O', 'UTC', 'USD', 'live')",
        [tenant_id],
    )
