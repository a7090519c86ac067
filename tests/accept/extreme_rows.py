"""rows: what the ledger's tables may hold at the most extreme, announced, pushed, loaded and mirrored; nothing ends, none is lost."""

import asyncio
import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fillip.app.up import Stack
from fillip.embedded.addresses import Addresses
from fillip.figures import Figure, at_least, expect, note
from fillip.migrations import make_slot, migrate
from fillip.stream.kafka import ensure_topics
from fillip.stream.topics import Topics
from tests.conftest import drop_slots, run_sql, swap_database
from tests.publish import rows
from tests.publish.conftest import Site
from tests.publish.extremes import Outcome, drive

ROWS = 6_000


async def accept(stack: Stack, tell: Callable[[str], None], count: int = ROWS) -> list[Figure]:
    """`count` rows in a database of their own; FILLIP_FUZZ_SEED gives other ones."""
    seed = int(os.environ.get("FILLIP_FUZZ_SEED", "1"))
    async with open_site(stack, "rows") as site:
        tell(f"writing {count:,} rows")
        with tempfile.TemporaryDirectory() as folder:
            outcome = await drive(site, Path(folder), count, seed)
    for line in outcome.wrong:
        tell(line.replace("[", "\\["))
    return show(outcome, count, seed)


@asynccontextmanager
async def open_site(stack: Stack, prefix: str) -> AsyncIterator[Site]:
    """A tenant in a database of its own on the set's servers, with its topics."""
    where, name = stack.settings, f"{prefix}_{uuid.uuid4().hex[:8]}"
    run_sql(where.owner_dsn, "CREATE DATABASE {}", name)
    dsn = swap_database(where.owner_dsn, name)
    try:
        await asyncio.to_thread(migrate, dsn)
        make_slot(dsn)
        topics = Topics(f"{name}.")
        await ensure_topics(where.kafka_bootstrap, topics)
        site = Site(dsn, Addresses(dsn, where.valkey_url, where.kafka_bootstrap), topics, name.replace("_", "-"))
        site.run(rows.TENANT)
        yield site
    finally:
        drop_slots(where.owner_dsn, name)
        run_sql(where.owner_dsn, "DROP DATABASE {} WITH (FORCE)", name)


def show(outcome: Outcome, count: int, seed: int) -> list[Figure]:
    """The figures of one run."""
    return [
        at_least("rows tried", count, outcome.written.total() + outcome.refused),
        expect("processes that ended, counts that differ", 0, len(outcome.wrong)),
        note("rows and moves written", outcome.written.total()),
        note("of these announced", outcome.announced.total()),
        note("of these set aside", outcome.set_aside.total()),
        note("refused by the tables themselves", outcome.refused),
        note("inbox entries shown, the others keep their number", outcome.shown),
        note("seed", seed),
    ]
