"""`python -m tests.proof.wal [KILLS]`: the write-ahead log's way to the topics, the Analytics Bay and Valkey, with all on it killed.

Rows are written all the time. `fillip publish` and `fillip analyse` are killed by kill -9 at random moments; then the slot is
dropped while it is read, and then lost by a tiny max_slot_wal_keep_size. At places of the log in between, the bay must hold
exactly what PostgreSQL held there; in the end no row may be missing on the topics, none told twice, no counter wrong in Valkey.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

import psycopg
from msgspec import json
from redis.asyncio import Redis

from fillip.app.settings import Settings
from fillip.core.limit import CounterKey
from fillip.core.projection import name_counter
from fillip.embedded.ports import choose_free_port
from fillip.embedded.servers import Servers
from fillip.figures import Figure, at_least, at_most, expect, note
from fillip.migrations import make_slot, migrate
from fillip.stream.kafka import Tail, ensure_topics
from fillip.stream.topics import Topics
from tests.conftest import drop_slots, run_sql, swap_database
from tests.proof.kills import Tell, run_proof
from tests.proof.wal_equal import IN_FILES, IN_TABLES, find_targets, list_differences, read_ledger
from tests.proof.wal_load import write_rows
from tests.publish import rows
from tests.publish.conftest import WITHIN_S, Site, wait_until
from tests.publish.test_slot import DROP

KILLS = 5
KEPT = "128MB"
"""Tiny beside the 4 GB that embedded PostgreSQL keeps otherwise."""
NOTICED_WITHIN_S = 5
LOSSES = b"fillip_publish_slots_lost_total "
COUNTERS = "SELECT tenant_id, limit_id, user_id, key, window_start, used, version FROM limit_counter"
ROWS = """
SELECT 'decision', decision_id::text FROM decision UNION ALL SELECT 'incentive', incentive_id::text FROM incentive
UNION ALL SELECT 'incentive_change', incentive_id::text FROM incentive_change
UNION ALL SELECT 'rejection', rejection_id::text FROM rejection
UNION ALL SELECT 'wallet_transfer', transfer_id::text FROM wallet_transfer
"""
KEYS = {
    "decision": "decision_id",
    "incentive": "incentive_id",
    "incentive_change": "incentive_id",
    "rejection": "rejection_id",
    "wallet_transfer": "transfer_id",
    "limit_counter": "user_id",
}
"""Of each table that is written, the column that names a row here."""


class Process:
    """`fillip NAME` on a site, to be killed and started again."""

    def __init__(self, name: str, site: Site, folder: Path, ports: tuple[int, int]) -> None:
        """`ports` are for its metrics and, of analyse, its reports."""
        self._command = [sys.executable, "-m", "fillip.app.cli", name]
        given = {"postgres_dsn": site.owner_dsn, "valkey_url": site.addresses.valkey_url, "state_dir": folder}
        given |= {"kafka_bootstrap": site.addresses.kafka_bootstrap, "topic_prefix": site.topics.prefix}
        settings = Settings.model_validate(given | {"metrics_port": ports[0], "analyse_port": ports[1]})
        found = settings.model_dump(mode="json", exclude_none=True, exclude={"allowed_origins"})
        self._environment = {f"FILLIP_{name.upper()}": str(value) for name, value in found.items()}
        self._log, self._metrics = folder / f"{name}.log", f"http://127.0.0.1:{ports[0]}/metrics"
        self.kills = 0

    def start(self) -> None:
        """Start it; what it says goes to a file."""
        with self._log.open("ab") as out:
            self._child = subprocess.Popen(self._command, env=os.environ | self._environment, stdout=out, stderr=out)

    def kill(self) -> None:
        """Kill -9."""
        self._child.kill()
        self._child.wait()
        self.kills += 1

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._child.send_signal(number)

    def close(self) -> None:
        """End it for good."""
        with suppress(ProcessLookupError):
            self._child.send_signal(signal.SIGCONT)
        self._child.kill()
        self._child.wait()

    async def count_losses(self) -> float:
        """How often it has found its slot lost; -1 where it does not answer."""
        return await asyncio.to_thread(self._count_losses)

    def _count_losses(self) -> float:
        with suppress(OSError):
            lines = urllib.request.urlopen(self._metrics, timeout=1).read().splitlines()
            return float(next(line for line in lines if line.startswith(LOSSES)).rpartition(b" ")[2])
        return -1


class Run:
    """What has been compared so far."""

    def __init__(self, site: Site, folder: Path, tell: Tell) -> None:
        self.site, self.folder, self.tell = site, folder, tell
        self.publish = Process("publish", site, folder, (choose_free_port(), choose_free_port()))
        self.analyse = Process("analyse", site, folder, (choose_free_port(), choose_free_port()))
        self.differences, self.places = list[str](), 0

    async def compare(self) -> None:
        """Kill analyse wherever it is, load up to one place of the log and compare, let it go on."""
        self.analyse.kill()
        place = await asyncio.to_thread(read_ledger, self.site)
        found = await list_differences(self.site, self.folder, place)
        self.places += 1
        self.differences += found
        said = "; ".join(found) or "equal"
        self.tell(f"{place.lsn:X}, {sum(count for count, *_ in place.sums.values()):,} rows: {said}")
        self.analyse.start()

    async def measure_notice(self, before: float) -> float:
        """Seconds until publish has noticed that its slot is lost."""
        began = time.monotonic()

        async def noticed() -> bool:
            return await self.publish.count_losses() > before

        await wait_until(noticed)
        return round(time.monotonic() - began, 2)


async def prove_wal(site: Site, folder: Path, kills: int, tell: Tell, *, own_server: bool) -> list[Figure]:
    """All of it on a fresh site; the slot is made to lose its WAL only on an `own_server`, of which nobody else has need."""
    run, figures = Run(site, folder, tell), list[Figure]()
    async with _processes(run):
        with write_rows(site):
            for _ in range(kills):
                await asyncio.sleep(random.uniform(0.5, 2.5))
                run.publish.kill()
                run.publish.start()
                await asyncio.sleep(random.uniform(0.1, 2))
                await run.compare()
            figures.append(await _drop_slot(run))
            if own_server:
                figures.append(await _lose_slot(run))
            run.publish.kill()
            run.publish.start()
        await run.compare()
        wrong = await _count_wrong_counters(site)
        missing, doubled, count = await _count_announced(site)
    return [
        note("kill -9 of publish", run.publish.kills),
        note("kill -9 of analyse", run.analyse.kills),
        at_least("rows written", 1, count),
        *figures,
        expect("rows that the last epoch does not tell", 0, missing),
        expect("rows told twice, by (table, key, commit)", 0, doubled),
        note("places of the log at which the bay was compared with PostgreSQL", run.places),
        expect(
            f"of {run.places * (len(IN_TABLES) + len(IN_FILES))} counts, sums and hashes of tables: unlike",
            0,
            len(run.differences),
        ),
        expect("counters in Valkey unlike PostgreSQL's, when quiet", 0, wrong),
    ]


@asynccontextmanager
async def _processes(run: Run) -> AsyncIterator[None]:
    run.publish.start()
    run.analyse.start()
    try:
        yield
    finally:
        run.publish.close()
        run.analyse.close()


async def _drop_slot(run: Run) -> Figure:
    run.tell("dropping the slot that is being read")
    before = await _wait_for_publish(run)
    run.site.run(DROP)
    took_s = await run.measure_notice(before)
    await _wait_for_publish(run)
    await run.compare()
    return at_most("the slot is dropped: noticed after", NOTICED_WITHIN_S, took_s, "s")


async def _lose_slot(run: Run) -> Figure:
    run.tell("losing the slot's WAL")
    before = await _wait_for_publish(run)
    run.publish.send(signal.SIGSTOP)  # or it keeps up with any load
    with psycopg.connect(run.site.owner_dsn, autocommit=True) as owner:
        lost = "SELECT wal_status = 'lost' FROM pg_replication_slots WHERE slot_name = 'fillip_' || current_database()"
        while owner.execute(lost).fetchone() != (True,):
            owner.execute("SELECT pg_logical_emit_message(false, 'filler', 'x')")
            owner.execute("SELECT pg_switch_wal()")
            owner.execute("CHECKPOINT")
    run.publish.send(signal.SIGCONT)
    took_s = await run.measure_notice(before)
    await _wait_for_publish(run)
    await run.compare()
    return at_most("its WAL is thrown away by max_slot_wal_keep_size: noticed after", NOTICED_WITHIN_S, took_s, "s")


async def _wait_for_publish(run: Run) -> float:
    """Until it reads; how many losses it has counted."""
    reading = "SELECT active FROM pg_replication_slots WHERE slot_name = 'fillip_' || current_database()"

    async def reads() -> bool:
        with psycopg.connect(run.site.owner_dsn) as owner:
            return owner.execute(reading).fetchone() == (True,) and await run.publish.count_losses() >= 0

    await wait_until(reads)
    return await run.publish.count_losses()


async def _count_wrong_counters(site: Site) -> int:
    """Once they agree, or after WITHIN_S."""
    with psycopg.connect(site.owner_dsn) as owner:
        stored = {CounterKey(*name): f"{used} {version}" for *name, used, version in owner.execute(COUNTERS)}
    names = [name_counter(key) for key in stored]
    give_up_at, wrong = time.monotonic() + WITHIN_S, -1
    async with Redis.from_url(site.addresses.valkey_url, decode_responses=True) as client:
        while wrong and time.monotonic() < give_up_at:
            held = await client.mget(names)
            wrong = sum(said != wanted for said, wanted in zip(held, stored.values(), strict=True))
            await asyncio.sleep(0.05)
    return wrong


async def _count_announced(site: Site) -> tuple[int, int, int]:
    """Rows that the last epoch does not tell of, announcements that stand twice, rows that there are."""
    with psycopg.connect(site.owner_dsn) as owner:
        stored = set(owner.execute(ROWS).fetchall())
    topics = [site.topics.decided, site.topics.generated, site.topics.reversed, site.topics.rejected]
    topics += [site.topics.moved, site.topics.used]
    place = await asyncio.to_thread(read_ledger, site)
    targets = await find_targets(site, place.lsn)
    told, seen = dict[str, set[tuple[str, str]]](), Counter[tuple[str, str, str, int]]()
    async with asyncio.timeout(WITHIN_S), Tail(site.addresses.kafka_bootstrap, topics, from_end=False) as tail:
        while any(tail.places[each] < offset for each, offset in targets.items() if each[0] in topics):
            for record in await anext(tail):
                message = json.decode(record.value or b"")
                if message["op"] != "t":
                    source, row = message["source"], message["after"]
                    name = source["table"], row[KEYS[source["table"]]]
                    told.setdefault(source["epoch"], set()).add(name)
                    seen[source["epoch"], *name, source["commit_lsn"]] += 1
    return len(stored - told[max(told)]), sum(count - 1 for count in seen.values()), len(stored)


def prove_on_own_servers(kills: int, tell: Tell) -> list[Figure]:
    """Run it on servers that nobody else needs, of which PostgreSQL keeps little WAL for a slot."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fillip-proof-")))
        servers = Servers(folder / "state", postgres_settings={"max_slot_wal_keep_size": KEPT, "min_wal_size": "32MB"})
        addresses = stack.enter_context(servers)
        run_sql(addresses.postgres_dsn, "CREATE DATABASE {}", "wal")
        stack.callback(drop_slots, addresses.postgres_dsn, "wal")
        site = Site(swap_database(addresses.postgres_dsn, "wal"), addresses, Topics("wal-proof."), "wal-tenant")
        migrate(site.owner_dsn)
        make_slot(site.owner_dsn)
        site.run(rows.TENANT)

        async def prove() -> list[Figure]:
            await ensure_topics(addresses.kafka_bootstrap, site.topics, 4)
            return await prove_wal(site, folder, kills, tell, own_server=True)

        return asyncio.run(prove())


if __name__ == "__main__":
    sys.exit(run_proof("proof: the write-ahead log's way", "wal-proof", prove_on_own_servers, KILLS))
