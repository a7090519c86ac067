"""Ten keyed quests whose steps ask for their key: what an event costs by how many instances its user has open."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from statistics import median

import asyncpg
import psycopg
import uvloop
from msgspec import json

from fillip.core.book.route import hash_route
from fillip.core.campaign.campaign import Campaign, CheckedExpression
from fillip.core.campaign.vocabulary import TypeContext
from fillip.core.schema.types import derive_type
from fillip.figures import Figure, at_least, expect, note
from fillip.ingest import Ingest
from fillip.manage.campaign.expressions import check_expression
from fillip.match import Meet
from fillip.match.numbers_postgres import PostgresNumbers
from fillip.match.postgres import PostgresBooks
from fillip.match.users_postgres import PostgresUsers
from fillip.migrations import role_dsn
from fillip.settle import Settle
from fillip.settle.postgres import PostgresLedger
from fillip.stream.belt import Batch, Record, Span
from tests.bench.site import Site

TENANT, TOPIC, ACTION = "quests", "bench.quests", "LIKE"
QUESTS, USERS, NEEDED = 10, 10, 10_000
OPEN = (1, 90, 5_000)
BATCH, BATCHES = 50, 40
RATIO = 0.7
SCHEMA = {"type": "object", "required": ["post"], "properties": {"post": {"type": "string"}}}
DEFINITION = {
    "kind": "QUEST",
    "name": "Likes of a post",
    "quest": {
        "steps": [{"name": "like", "action": ACTION, "rule": "event.post == start.post", "count": NEEDED}],
        "instance": {"key": "event.post"},
    },
    "rewards": [{"kind": "points", "value": 5}],
}


def bench(site: Site) -> list[Figure]:
    """Batches of users with 1, 90 and 5,000 open instances of each quest, in turn, of which each event meets one."""
    with site.database() as dsn:
        site.tell(f"opening {sum(OPEN) * USERS * QUESTS:,} instances")
        write_quests(dsn)
        return uvloop.run(measure(dsn, site))


def write_quests(dsn: str) -> None:
    """The tenant as the control plane would have stored it, its users' instances as settle would."""
    campaign = json.decode(json.encode(DEFINITION), type=Campaign)
    shapes = {ACTION: derive_type(SCHEMA)}
    checked: dict[str, CheckedExpression] = {
        each.path: check_expression(each, TypeContext(shapes)) for each in campaign.expressions
    }
    names = [f"quest-{number}" for number in range(QUESTS)]
    posts = [f"p{number}" for number in range(max(OPEN))]
    with psycopg.connect(dsn) as owner:
        owner.execute("INSERT INTO tenant (tenant_id, name, time_zone, currency, clock) VALUES (%s, 'Q', 'UTC', 'USD', 'live')", [TENANT])  # fmt: skip
        owner.execute(
            "INSERT INTO action (tenant_id, name, schema) VALUES (%s, %s, %s)",
            [TENANT, ACTION, json.encode(SCHEMA).decode()],
        )
        owner.execute(
            "INSERT INTO campaign (tenant_id, campaign_id, state, version) SELECT %s, n, 'running', 1 FROM unnest(%s::text[]) AS n",
            [TENANT, names],
        )
        owner.execute(
            "INSERT INTO campaign_version (tenant_id, campaign_id, version, definition, checked)"
            " SELECT %s, n, 1, %s, %s FROM unnest(%s::text[]) AS n",
            [TENANT, json.encode(DEFINITION).decode(), json.encode(checked).decode(), names],
        )
        for each in OPEN:
            owner.execute(
                "INSERT INTO quest_instance (tenant_id, campaign_id, user_id, instance_key, occurrence, campaign_version,"
                " state, started_at, start_event_key, start_event_id, start_event_source, start_offset, steps, start_attributes, route)"
                " SELECT %s, c, %s || u, p, 1, 1, 'open', now() - interval '1 day', gen_random_uuid(), 'e' || p, '/post', 0, %s,"
                " jsonb_build_object('post', p), r FROM unnest(%s::text[]) AS c, generate_series(1, %s) AS u,"
                " unnest(%s::text[], %s::bigint[]) AS i (p, r)",
                [TENANT, f"{each}-", f'[{{"name": "like", "done": 0, "needed": {NEEDED}}}]', names, USERS,
                 posts[:each], [hash_route(("post",), post) for post in posts[:each]]],
            )  # fmt: skip
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("VACUUM ANALYZE quest_instance")


async def measure(dsn: str, site: Site) -> list[Figure]:
    """Events a second from the bytes to the commit, and what it takes to open one more."""
    async with asyncpg.create_pool(role_dsn(dsn, "fillip_worker"), min_size=1, max_size=2) as pool:
        line = Line(pool)
        await PostgresLedger(pool, "bench").claim(TOPIC, 0, 0, "")
        spent_s: dict[int, list[float]] = {each: [] for each in OPEN}
        for turn in range(BATCHES + 3):  # the first ones compile and plan
            for each in OPEN:
                spent_s[each].append(await line.play(each, [f"p{turn % each}"] * BATCH))
        opened_s = {each: await line.play(each, [f"new-{n}" for n in range(BATCH)]) for each in OPEN}
        moved = await line.count_moved()
    rates = {each: BATCH / median(spent[3:]) for each, spent in spent_s.items()}
    for each in OPEN:
        site.tell(f"{each:,} open: {rates[each]:,.0f} events/s")
    return [
        expect("steps counted", len(OPEN) * (BATCHES + 4) * BATCH * QUESTS, moved),
        *(note(f"events/s with {each:,} open instances a user and quest", round(rates[each]), "") for each in OPEN),
        *(at_least(f"{each:,} open : 1 open", RATIO, round(rates[each] / rates[1], 2)) for each in OPEN[1:]),
        *(note(f"opening one more of each beside {each:,}", round(s / BATCH * 1000, 2), "ms") for each, s in opened_s.items()),
    ]  # fmt: skip


class Line:
    """The walk of one worker from bytes to the commit."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        """On the worker's connections."""
        self._pool = pool
        self._ingest = Ingest(PostgresBooks(pool))
        self._meet = Meet(PostgresUsers(pool), PostgresNumbers(pool), lambda refusals: None)
        self._settle = Settle(PostgresLedger(pool, "bench"), lambda *told: None)
        self._offset, self._numbers = 0, count()

    async def play(self, group: int, posts: Sequence[str]) -> float:
        """Seconds for a batch of events of the users with so many open, one for each post in turn."""
        batch = Batch(
            list(self._write(group, posts)), [Span(TOPIC, 0, self._offset, self._offset + len(posts))], _now()
        )
        self._offset += len(posts)
        began = time.perf_counter()
        await self._settle(batch, await self._meet(await self._ingest(batch.records)))
        return time.perf_counter() - began

    def _write(self, group: int, posts: Sequence[str]) -> Iterator[Record]:
        for index, post in enumerate(posts):
            user = f"{group}-{index % USERS + 1}"
            event = {
                "specversion": "1.0", "id": f"n{next(self._numbers)}", "source": "bench", "type": ACTION,
                "subject": user, "time": _now(), "tenantid": TENANT, "data": {"post": post},
            }  # fmt: skip
            at_ms = int(_now().timestamp() * 1000)
            yield Record(TOPIC, 0, self._offset + index, json.encode(event), f"{TENANT}:{user}".encode(), at_ms)

    async def count_moved(self) -> int:
        """How often events counted for a step."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('app.tenants', $1, true)", TENANT)
            return int(await connection.fetchval("SELECT count(*) FROM quest_step_met"))


def _now() -> datetime:
    return datetime.now(UTC)
