"""Leaderboards: as the ledger has them when quiet, whatever happened to Valkey and to the publisher meanwhile."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from fillip.core.errors import Retry
from fillip.core.leaderboard import (
    MOST_SCORE,
    BoardWindow,
    Leaderboard,
    TooManyUsers,
    list_windows,
    read_member,
    write_instant,
)
from fillip.core.projection import BOARD_TENANTS, name_board, name_board_users, name_boards
from fillip.migrations import role_dsn
from fillip.publish import board_valkey, metrics
from fillip.publish.board_postgres import PostgresScores
from fillip.publish.ranks_valkey import ValkeyRanks
from tests.publish import rows
from tests.publish.conftest import Site, wait_until

GRANT = """
INSERT INTO incentive (tenant_id, incentive_id, decision_id, campaign_id, user_id, event_id, event_source, reward_index,
    kind, value, currency, state, inbox_seq, occurred_at, received_at, taken_at, granted_at)
VALUES (%(tenant)s, %(id)s, %(decision)s, %(campaign)s, %(user)s, 'e', '/till', 0, %(kind)s, %(value)s, %(currency)s, 'granted', 1,
    now(), now(), now(), %(at)s)
"""
REVERSE = """
WITH changed AS (
    UPDATE incentive SET reversed_value = least(value, reversed_value + %(value)s),
        state = CASE WHEN reversed_value + %(value)s >= value THEN 'reversed' ELSE state END
    WHERE tenant_id = %(tenant)s AND incentive_id = %(id)s RETURNING tenant_id, incentive_id
)
SELECT tell_changes('reversed', array_agg(tenant_id), array_agg(incentive_id), '{1}', '{NULL}', '{NULL}') FROM changed
"""
EXPIRE = """
WITH changed AS (
    UPDATE incentive SET state = 'expired' WHERE tenant_id = %(tenant)s AND incentive_id = %(id)s RETURNING tenant_id, incentive_id
)
SELECT tell_changes('expired', array_agg(tenant_id), array_agg(incentive_id), '{1}', '{NULL}', '{NULL}') FROM changed
"""
DEFINE = """
INSERT INTO leaderboard (tenant_id, leaderboard_id, measure, span, currency, campaign_id)
VALUES (%(tenant)s, %(board)s, %(measure)s, %(span)s, %(currency)s, %(campaign)s)
ON CONFLICT (tenant_id, leaderboard_id) DO UPDATE SET measure = excluded.measure, span = excluded.span,
    currency = excluded.currency, campaign_id = excluded.campaign_id, revision = leaderboard.revision + 1
"""
MERGE = """
INSERT INTO user_merge (tenant_id, user_id, merge_id, asked_into, merged_into, moved)
VALUES (%(tenant)s, %(user)s, %(user)s, %(into)s, %(into)s, '{}')
"""
ERASURE = """
INSERT INTO erasure (tenant_id, user_id, pseudonym, salt) VALUES (%(tenant)s, %(user)s, %(pseudonym)s, gen_random_uuid())
"""
ERASE = "UPDATE incentive SET user_id = %(pseudonym)s WHERE tenant_id = %(tenant)s AND user_id = %(user)s"
ERASED = "UPDATE erasure SET step = 'events', cut_at = now() WHERE tenant_id = %(tenant)s AND user_id = %(user)s"
TRUTH = """
SELECT coalesce(m.merged_into, i.user_id) COLLATE "C" AS who, max(i.granted_at) AS reached_at,
       CASE WHEN %(measure)s = 'value' THEN least(sum(i.value - i.reversed_value), 9007199254740991)
            ELSE count(DISTINCT i.decision_id) END AS score
FROM incentive i LEFT JOIN user_merge m USING (tenant_id, user_id)
WHERE tenant_id = %(tenant)s AND i.granted_at >= %(since)s AND i.granted_at < %(until)s
  AND (%(campaign)s::text IS NULL OR i.campaign_id = %(campaign)s)
  AND ((%(measure)s = 'value' AND i.kind = 'points' AND i.currency = %(currency)s AND i.value > i.reversed_value)
       OR (%(measure)s = 'count' AND i.state <> 'reversed'))
  AND coalesce(m.merged_into, i.user_id) NOT LIKE 'erased-%%'
GROUP BY 1 ORDER BY score DESC, reached_at, who
"""
POINTS = Leaderboard("points", "value", "lifetime", "POINTS")
DAILY = Leaderboard("daily", "value", "day", "POINTS")
GRANTS = Leaderboard("grants", "count", "lifetime", None, "spring")
STARS = Leaderboard("stars", "value", "week", "STARS", "spring")
BOARDS = (POINTS, DAILY, GRANTS, STARS)
NOW = datetime.now(UTC)


@pytest.fixture
async def board_valkey_client(site: Site) -> AsyncIterator[Redis]:
    async with Redis.from_url(site.addresses.valkey_url) as client:
        yield client


def define(site: Site, *boards: Leaderboard) -> None:
    for board in boards:
        parts = {
            "measure": board.measure,
            "span": board.span,
            "currency": board.currency,
            "campaign": board.campaign_id,
        }
        site.run(DEFINE, board=board.leaderboard_id, **parts)


def grant(site: Site, user: str, value: int = 5, ago: timedelta = timedelta(), **parts: Any) -> str:
    """An incentive of that value; its id."""
    named = {"id": str(uuid4()), "decision": str(uuid4()), "campaign": "spring", "kind": "points", "currency": "POINTS"}
    site.run(GRANT, **(named | parts | {"user": user, "value": value, "at": datetime.now(UTC) - ago}))
    return str((named | parts)["id"])


async def tell(site: Site, client: Redis, board: Leaderboard) -> tuple[list[Any], list[Any]]:
    """What all windows of a board tell, and what the ledger says of them."""
    told, truth = [], []
    with psycopg.connect(site.owner_dsn) as owner:
        for window in list_windows(board, datetime.now(UTC).date(), "UTC"):
            ranks = await ValkeyRanks(client).read_top(site.tenant, board, window, 0, 1_000)
            assert [each.rank for each in ranks.found] == list(range(1, ranks.users + 1))
            told.append([(each.user_id, each.reached_at, each.score) for each in ranks.found])
            asked: dict[str, Any] = {
                "measure": board.measure,
                "currency": board.currency,
                "campaign": board.campaign_id,
            }
            asked |= {"tenant": site.tenant, "since": window.starts_at, "until": window.ends_at}
            truth.append(owner.execute(TRUTH, asked).fetchall())
    return told, truth


async def wait_for_truth(site: Site, client: Redis, *boards: Leaderboard) -> list[Any]:
    """Until all of it is told as the ledger has it; the present windows of the boards."""

    async def agrees() -> bool:
        try:
            pairs = [await tell(site, client, board) for board in boards]
        except Retry:
            return False
        return all(told == truth for told, truth in pairs)

    await wait_until(agrees)
    return [(await tell(site, client, board))[0][0] for board in boards]


async def test_who_was_granted_most_stands_first_and_of_two_who_reached_it_first(
    site: Site, board_valkey_client: Redis
) -> None:
    # given grants from before there was a leaderboard
    grant(site, "ann", 7, timedelta(minutes=3))
    grant(site, "bob", 7, timedelta(minutes=4))
    grant(site, "cleo", 9, timedelta(days=2))
    grant(site, "dan", 100, currency="STARS")
    grant(site, "dan", 100, kind="cashback", currency="EUR", campaign="other")
    async with site.publishing():
        define(site, *BOARDS)
        points, daily, grants, stars = await wait_for_truth(site, board_valkey_client, *BOARDS)
        assert [user for user, *_ in points] == ["cleo", "bob", "ann"]
        assert ["cleo" in [user for user, *_ in each] for each in (points, daily)] == [True, False]
        assert (grants[0][0], grants[0][2]) == ("cleo", 1)
        assert [user for user, *_ in stars] == ["dan"]
        builds = metrics.board_builds._value.get()
        # when more is granted, and some of it is taken back in part and in full
        first, second = grant(site, "ann", 10), grant(site, "ann", 4)
        [points] = await wait_for_truth(site, board_valkey_client, POINTS)
        assert points[0][0::2] == ("ann", 21)
        site.run(REVERSE, id=second, value=4)
        site.run(REVERSE, id=first, value=8)
        [points] = await wait_for_truth(site, board_valkey_client, POINTS)
        # then the newest grant of which anything is left is the instant: cleo had as much before
        assert [(user, score) for user, _, score in points] == [("cleo", 9), ("ann", 9), ("bob", 7)]
        # what expires was granted all the same, and who has lost all stands nowhere
        site.run(EXPIRE, id=first)
        for user_id in (grant(site, "eve"), grant(site, "eve")):
            site.run(REVERSE, id=user_id, value=5)
        points, grants = await wait_for_truth(site, board_valkey_client, POINTS, GRANTS)
        assert "eve" not in [user for user, *_ in points + grants]
        assert metrics.board_builds._value.get() == builds  # each as it came: nothing had to be built again


async def test_a_merged_user_has_the_points_of_both_and_an_erased_one_stands_nowhere(
    site: Site, board_valkey_client: Redis
) -> None:
    define(site, POINTS, DAILY)
    for user in ("anon", "ada", "bob"):
        grant(site, user, 5)
    async with site.publishing():
        await wait_for_truth(site, board_valkey_client, POINTS, DAILY)
        site.run(MERGE, user="anon", into="ada")
        points, _ = await wait_for_truth(site, board_valkey_client, POINTS, DAILY)
        assert [(user, score) for user, _, score in points] == [("ada", 10), ("bob", 5)]
        # what is told of the old id's incentives moves the other's score
        site.run(REVERSE, id=grant(site, "anon", 3), value=1)
        [points] = await wait_for_truth(site, board_valkey_client, POINTS)
        assert points[0][0::2] == ("ada", 12)
        named = {"user": "bob", "pseudonym": f"erased-{uuid4().hex}"}
        site.run(ERASURE, **named)
        site.run(ERASE, ERASED, **named)
        points, daily = await wait_for_truth(site, board_valkey_client, POINTS, DAILY)
        assert [user for user, *_ in points + daily] == ["ada", "ada"]


async def test_what_valkey_loses_is_built_again_and_until_then_nothing_is_told(
    site: Site, board_valkey_client: Redis
) -> None:
    client, ranks = board_valkey_client, ValkeyRanks(board_valkey_client)
    [window] = list_windows(POINTS, NOW.date(), "UTC")
    define(site, POINTS, GRANTS)
    for number in range(40):
        grant(site, f"user {number % 7} ü", number)
    async with site.publishing():
        await wait_for_truth(site, client, POINTS, GRANTS)
        # all of the tenant, as after FLUSHALL (other tests share this server)
        await client.delete(*[name async for name in client.scan_iter(match=f"board:{{{site.tenant}}}*", count=10_000)])
        with pytest.raises(Retry, match="is being built"):
            await ranks.read_top(site.tenant, POINTS, window, 0, 10)
        await wait_for_truth(site, client, POINTS, GRANTS)
        # all but what points to the boards, as where that was written anew just then: no board is not an empty one
        state: Any = await client.hget(name_boards(site.tenant), "b:points")
        await client.delete(*[name async for name in client.scan_iter(match=f"board:{{{site.tenant}}}*", count=10_000)])
        await client.hset(name_boards(site.tenant), "b:points", state)
        with pytest.raises(Retry, match="is being built"):
            await ranks.read_top(site.tenant, POINTS, window, 0, 10)
        await wait_for_truth(site, client, POINTS, GRANTS)
        # one part of one board, as where Valkey is full: what is left must not pass for all
        for name in (name_board, name_board_users):
            state = await client.hget(name_boards(site.tenant), "b:points")
            edition = state.decode().split()[0]
            await client.delete(name(site.tenant, edition, window.start))
            with pytest.raises(Retry, match="is being built"):
                await ranks.read_top(site.tenant, POINTS, window, 0, 10)
            grant(site, "ann")
            await wait_for_truth(site, client, POINTS, GRANTS)
            assert not await client.exists(name_board(site.tenant, edition, window.start))  # nothing is left of it
        # a board that counts otherwise is told as such, or not at all; one that is deleted leaves nothing
        other = Leaderboard("points", "value", "day", "POINTS")
        define(site, other)
        await wait_for_truth(site, client, other)
        with pytest.raises(Retry, match="is being built"):
            await ranks.read_top(site.tenant, POINTS, window, 0, 10)
        site.run("DELETE FROM leaderboard WHERE tenant_id = %(tenant)s")

        async def is_gone() -> bool:
            names = [name async for name in client.scan_iter(match=f"board:{{{site.tenant}}}*", count=10_000)]
            return not names and not await client.sismember(BOARD_TENANTS, site.tenant)

        await wait_until(is_gone)


async def test_a_publisher_that_is_killed_again_and_again_counts_each_grant_once(
    site: Site, board_valkey_client: Redis
) -> None:
    chance = random.Random(7)
    define(site, *BOARDS)

    def work() -> None:
        """Grants and reversals in transactions that are open for a while, of which some are given up."""
        granted: list[str] = []
        with psycopg.connect(site.owner_dsn) as one, psycopg.connect(site.owner_dsn) as two:
            for number in range(120):
                connection, given = (one, two)[number % 2], str(uuid4())
                asked: dict[str, Any] = {
                    "tenant": site.tenant,
                    "id": given,
                    "decision": str(uuid4()),
                    "user": f"u{chance.randrange(9)}",
                }
                asked |= {
                    "campaign": chance.choice(["spring", "other"]),
                    "kind": "points",
                    "value": chance.randrange(1, 6),
                }
                ago = timedelta(days=chance.choice([0, 0, 1, 7]))
                asked |= {"currency": chance.choice(["POINTS", "STARS"]), "at": datetime.now(UTC) - ago}
                connection.execute(GRANT, asked)
                if number % 3 == 1:  # of what stands in this transaction
                    connection.execute(REVERSE, {"tenant": site.tenant, "id": given, "value": chance.randrange(1, 3)})
                if number % 4 > 1:
                    (connection.rollback if number % 12 == 3 else connection.commit)()
                if number % 4 == 3:  # of what has been committed before
                    taken = {"tenant": site.tenant, "id": chance.choice(granted), "value": chance.randrange(1, 3)}
                    one.execute(REVERSE, taken)
                    one.commit()
                granted.append(given)

    working = asyncio.create_task(asyncio.to_thread(work))
    await site.break_off(chance)
    async with site.publishing():
        await working
        await wait_for_truth(site, board_valkey_client, *BOARDS)


async def test_more_users_than_are_kept_are_no_leaderboard_and_other_boards_stay(
    site: Site, board_valkey_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board_valkey, "MOST_MEMBERS", 10)
    define(site, POINTS, STARS)
    grant(site, "ann", currency="STARS")
    for number in range(12):
        grant(site, f"u{number}")
    [window] = list_windows(POINTS, NOW.date(), "UTC")
    async with site.publishing():
        await wait_for_truth(site, board_valkey_client, STARS)
        with pytest.raises(TooManyUsers, match="users in all their windows"):
            await ValkeyRanks(board_valkey_client).read_top(site.tenant, POINTS, window, 0, 10)
        grant(site, "bob", currency="STARS")
        await wait_for_truth(site, board_valkey_client, STARS)


async def test_more_that_waits_than_is_kept_has_the_boards_built_anew(
    site: Site, board_valkey_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board_valkey, "MOST_WAITING", 3)
    define(site, POINTS)
    async with site.publishing():
        await wait_for_truth(site, board_valkey_client, POINTS)
        for number in range(30):
            grant(site, f"u{number}")
        await wait_for_truth(site, board_valkey_client, POINTS)


async def test_scores_and_instants_at_their_extremes_are_in_order(site: Site, board_valkey_client: Redis) -> None:
    client = board_valkey_client
    tick, last = timedelta(microseconds=1), datetime(9998, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    for user, value, at in (
        ("low", 1, last),
        ("all", MOST_SCORE, last),
        ("one less", MOST_SCORE - 1, datetime(1970, 1, 1, tzinfo=UTC)),
        ("a tick later", 10**12, NOW + tick),
        ("earlier", 10**12, NOW),
        ("Z same", 10**12, NOW + tick),
        ("ä same", 10**12, NOW + tick),
        ("above what is ordered", MOST_SCORE + 5, last - tick),
    ):
        named = {"id": str(uuid4()), "decision": str(uuid4()), "campaign": "c", "kind": "points", "currency": "POINTS"}
        site.run(GRANT, user=user, value=value, at=at, **named)
        assert read_member(write_instant(at) + user.encode()) == (user, at)
    define(site, POINTS)
    async with site.publishing():
        [points] = await wait_for_truth(site, client, POINTS)
    assert [user for user, *_ in points] == [
        "above what is ordered", "all", "one less", "earlier", "Z same", "a tick later", "ä same", "low",
    ]  # fmt: skip


class Given(NamedTuple):
    """A grant as a person would note it down."""

    user: int
    value: int
    minute: int
    currency: str
    campaign: str


GIVEN = st.builds(
    Given,
    st.integers(0, 4),
    st.integers(1, 3),
    st.integers(0, 5),
    st.sampled_from(["POINTS", "POINTS", "STARS"]),
    st.sampled_from(["spring", "other"]),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    grants=st.lists(GIVEN, min_size=1, max_size=12),
    taken=st.lists(st.tuples(st.integers(0, 11), st.integers(1, 2)), max_size=8),
    merged=st.sampled_from([{}, {0: 1}, {0: 2, 1: 2}]),
)
def test_scores_are_what_a_plain_reading_of_grants_and_reversals_says(
    database: str, grants: list[Given], taken: list[tuple[int, int]], merged: dict[int, int]
) -> None:
    tenant, since, left = f"t-{uuid4().hex[:12]}", NOW - timedelta(days=1), [each.value for each in grants]
    ids = [str(uuid4()) for _ in grants]
    with psycopg.connect(database) as owner:
        owner.execute(rows.TENANT, {"tenant": tenant})
        for number, each in enumerate(grants):
            asked = each._asdict() | {
                "id": ids[number],
                "decision": ids[number],
                "kind": "points",
                "user": f"u{each.user}",
            }
            owner.execute(GRANT, asked | {"tenant": tenant, "at": since + timedelta(minutes=each.minute)})
        for number, value in taken:
            if number < len(grants):
                owner.execute(REVERSE, {"tenant": tenant, "id": ids[number], "value": value})
                left[number] = max(0, left[number] - value)
        for gone, into in merged.items():
            owner.execute(MERGE, {"tenant": tenant, "user": f"u{gone}", "into": f"u{into}"})
    for board in (POINTS, GRANTS, STARS):
        wanted: dict[str, tuple[int, datetime]] = {}
        for each, value in zip(grants, left, strict=True):
            counts = board.currency in (None, each.currency) and board.campaign_id in (None, each.campaign)
            if counts and value:
                user = f"u{merged.get(each.user, each.user)}"
                score, at = wanted.get(user, (0, since))
                more = 1 if board.measure == "count" else value
                wanted[user] = score + more, max(at, since + timedelta(minutes=each.minute))
        lifetime = list_windows(POINTS, NOW.date(), "UTC")
        assert asyncio.run(read_scores(database, tenant, board, lifetime)) == wanted, board


async def read_scores(
    dsn: str, tenant: str, board: Leaderboard, windows: list[BoardWindow]
) -> dict[str, tuple[int, datetime]]:
    """As the publisher reads the scores of all users of a tenant."""
    async with PostgresScores(role_dsn(dsn, "fillip_publish")).open() as scores:
        users = await scores.find_owners(tenant, await scores.list_users(tenant, "", 100))
        [found] = await scores.read(tenant, board, windows, users)
    return {each.user_id: (each.score, each.reached_at) for each in found}
