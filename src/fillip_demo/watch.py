"""Watches the running path from outside: the ledger's progress, the announcements, the processes."""

import asyncio
import time
from collections.abc import Collection
from functools import partial
from secrets import SystemRandom

from msgspec import Struct, json

from fillip.app.up import Stack
from fillip.core.errors import Crash
from fillip.stream.kafka import Tail
from fillip.stream.topics import Topics
from fillip_demo.postgres import Ledger
from fillip_demo.tally import Tally

LOOK_EVERY_S = 0.2
STALLED_AFTER_S = 60.0
KILL_WITHIN_S = 0.3


class _Row(Struct, frozen=True):
    tenant_id: str
    campaign_id: str
    user_id: str
    outcome: str = ""
    reason: str = ""


class _Source(Struct, frozen=True, order=True):
    epoch: str
    commit_lsn: int
    index: int


class _Announcement(Struct, frozen=True):
    after: _Row
    source: _Source


_ANNOUNCEMENTS = json.Decoder(_Announcement)


async def follow_ledger(ledger: Ledger, tally: Tally, stack: Stack) -> None:
    """Keep `settled` and publish's lag up to date. Raises Crash when nothing moves for a minute though events wait."""
    moved_at = time.monotonic()
    while True:
        progress = await ledger.read_progress()
        if progress.settled != tally.settled or progress.settled >= tally.sent:
            moved_at = time.monotonic()
        tally.settled, tally.unannounced_bytes = progress.settled, progress.unannounced_bytes
        if time.monotonic() - moved_at > STALLED_AFTER_S:
            behind = tally.sent - tally.settled
            where = stack.state_dir / "log" / "worker.log"
            raise Crash(f"{behind:,} events wait, but none was settled for {STALLED_AFTER_S:.0f} s: see {where}")
        tally.tell()
        await asyncio.sleep(LOOK_EVERY_S)


async def follow_announcements(tail: Tail, topics: Topics, tally: Tally, tenant: str, users: Collection[str]) -> None:
    """Count the tenant's decisions and what is announced for `users`; what comes twice counts once."""
    newest: dict[tuple[str, int], _Source] = {}
    async for records in tail:
        for record in records:
            found = _ANNOUNCEMENTS.decode(record.value or b"")
            place = record.topic, record.partition
            if found.after.tenant_id != tenant or (place in newest and found.source <= newest[place]):
                continue
            newest[place] = found.source
            row = found.after
            if record.topic == topics.decided:
                tally.outcomes[row.campaign_id, row.outcome, row.reason] += 1
            elif row.user_id in users:
                tally.told += 1


async def watch_processes(stack: Stack, tally: Tally) -> None:
    """Start again, and note, whatever ended by itself."""
    while True:
        tally.crashes += stack.revive()
        await asyncio.sleep(1)


def _has_settled(tally: Tally, due: float) -> bool:
    return tally.settled >= due


async def kill_workers(stack: Stack, tally: Tally, kills: int) -> None:
    """Kill -9 the worker `kills` times at random moments of the replay, and start it again at once."""
    chance = SystemRandom()
    for due in sorted(chance.uniform(0.02, 0.95) * tally.total for _ in range(kills)):
        await tally.until(partial(_has_settled, tally, due))
        await asyncio.sleep(chance.uniform(0, KILL_WITHIN_S))
        stack.kill("worker")
        stack.spawn("worker")
        tally.kills += 1
