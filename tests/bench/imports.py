"""Opening balances of a million members: how long until they are in wallets, what that takes, and what a neighbour waits meanwhile."""

import asyncio
import random

from fillip.app.up import Stack
from fillip.figures import Figure, at_most, expect, note
from tests.bench.cohorts import read_kb
from tests.bench.operations import BEFORE_S, LEAST_S, Scene, call, open_scene, watch
from tests.bench.site import Site, read_cpu_s
from tests.live.running import running_stack

ROWS, USERS = 1_000_000, 700_000
PIECE = 50_000
PATH, CSV = "/v1/balance-imports/legacy", {"Content-Type": "text/csv"}
PROCESSES = ("api", "sweep", "publish", "worker")


def bench(site: Site) -> list[Figure]:
    """One file into a running set, with another tenant's events meanwhile."""
    site.tell("starting a running set")
    with running_stack() as stack:
        return asyncio.run(measure(site, stack))


async def measure(site: Site, stack: Stack) -> list[Figure]:
    """The file, and the events beside it."""
    pids = {name: stack.pids()[name] for name in PROCESSES}
    async with open_scene(stack) as scene:
        await watch(scene, asyncio.sleep(LEAST_S))  # warm
        before = await watch(scene, asyncio.sleep(BEFORE_S))
        cpu = {name: read_cpu_s(pid) for name, pid in pids.items()}
        room = {name: read_kb("VmHWM", pid) / 1024 for name, pid in pids.items()}
        took: list[float] = []
        during = await watch(scene, bring_in(site, scene, took))
        cpu = {name: read_cpu_s(pid) - cpu[name] for name, pid in pids.items()}
        peak = {name: read_kb("VmHWM", pid) / 1024 for name, pid in pids.items()}
        done = (await call(scene.big.get(PATH))).json()
        query = "SELECT count(*), sum(amount)::bigint FROM wallet_transfer WHERE kind = 'import'"
        ledger = await scene.owner.fetchrow(query)
    assert ledger is not None
    [sums] = done["sums"]
    return [
        expect("rows posted", ROWS, done["posted_rows"]),
        expect("points in the ledger", sums["amount"], ledger["sum"]),
        expect("and as they were told", sums["amount"], sums["posted_amount"]),
        note("users", done["users"]),
        note("until it is checked and stored", round(took[0], 1), "s"),
        note("until all is posted", round(took[1], 1), "s"),
        *(note(f"CPU of {name}, the neighbour's events included", round(cpu[name], 1), "s") for name in PROCESSES),
        *(
            at_most(f"{name} grew by", 100, round(peak[name] - room[name]), "MB")
            for name in PROCESSES
            if name in ("api", "sweep")
        ),
        note("neighbour's events decided, p99 before / during", f"{before[0]} / {during[0]}", "ms"),
        at_most("decided later by, p99", 200, max(0, during[0] - before[0]), "ms"),
        note("announced, p99 before / during", f"{before[1]} / {during[1]}", "ms"),
    ]


async def bring_in(site: Site, scene: Scene, took: list[float]) -> None:
    """Send the file, and wait until it is posted; notes when it was stored and posted."""
    dice = random.Random(7)

    async def pour():
        yield b"user_id,amount,currency,expires_at,id\n"
        for start in range(0, ROWS, PIECE):
            lines = (
                b"member-%09d,%d,,%s,card-%d\n"
                % (dice.randrange(USERS), dice.randrange(1, 9_000), dice.choice((b"", b"2099-06-30", b"2099-12-31")), n)
                for n in range(start, start + PIECE)
            )
            yield b"".join(lines)
            await asyncio.sleep(0)

    loop = asyncio.get_running_loop()
    began = loop.time()
    await call(scene.big.put(PATH, content=pour(), headers=CSV))
    took.append(loop.time() - began)
    site.tell(f"stored after {took[0]:.1f} s")
    while (found := (await call(scene.big.get(PATH))).json())["state"] != "done":
        site.tell(f"{found['posted_rows']:,} rows posted")
        await asyncio.sleep(10)
    took.append(loop.time() - began)
