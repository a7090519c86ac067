"""Cohorts of many users: how long an upload takes, what the API and a worker keep of it, how long a look takes."""

import asyncio
import gc
import os
from array import array
from pathlib import Path
from random import Random
from timeit import timeit

import httpx
from pyroaring import BitMap

from fillip.app.up import Stack
from fillip.core.cohort import NOBODY, Cohort, find_changed, join_chunks, list_mine
from fillip.figures import Figure, at_most, expect, note
from tests.bench.operations import BIG, CSV, call
from tests.bench.site import Site
from tests.live.running import make_tenant, running_stack

USERS = 10_000_000
COHORTS, OF_EACH = 100, 1_000_000
LOOKS = 1_000_000
PIECE = 100_000


def bench(site: Site) -> list[Figure]:
    """Bitmaps in this process as a worker keeps them, then uploads to a running set."""
    figures = [*measure_look(), *measure_room(site)]
    site.tell("starting a running set")
    with running_stack() as stack:
        return figures + asyncio.run(measure_uploads(site, stack))


def measure_look() -> list[Figure]:
    """One user of a cohort of ten millions, half of them in it."""
    members = BitMap(range(0, 2 * USERS, 2))
    cohorts = {"all": Cohort(1, members)}
    took_s = timeit(lambda: list_mine(12_345_678, cohorts, ("all",)), number=LOOKS)
    return [at_most("a look, mean", 1, round(took_s / LOOKS * 1e6, 2), "us")]


def measure_room(site: Site) -> list[Figure]:
    """A hundred cohorts, each of a million drawn out of ten millions, as read from their chunks."""
    dice = Random(5)
    gc.collect()
    before, kept = read_kb("VmRSS", os.getpid()), []
    for number in range(COHORTS):
        if number % 20 == 0:
            site.tell(f"drawing {OF_EACH:,} of {USERS:,} users")
            drawn = BitMap(array("I", dice.sample(range(USERS), OF_EACH)))
        moved = drawn.shift(12_345 * (number % 20))
        kept.append(join_chunks(NOBODY, find_changed(NOBODY, moved).items()))
    gc.collect()
    used_mb = (read_kb("VmRSS", os.getpid()) - before) / 1024
    assert all(len(members) == OF_EACH for members in kept)
    return [at_most(f"{COHORTS} cohorts of {OF_EACH:,} in a worker", 300, round(used_mb), "MB")]


async def measure_uploads(site: Site, stack: Stack) -> list[Figure]:
    """Ten million ids nobody knows, the same again, and one user more."""
    headers = {"Authorization": f"Bearer {make_tenant(stack, BIG)}"}
    async with httpx.AsyncClient(base_url=stack.doors.api, headers=headers, timeout=900) as client:
        await call(client.post("/v1/cohorts", json={"cohort_id": "all", "name": "All"}))
        figures = []
        before_mb = read_kb("VmHWM", stack.pids()["api"]) / 1024
        for name, goal_s in (("new", 180), ("known", 60)):
            site.tell(f"uploading {USERS:,} {name} ids")
            took_s, build = await upload(client)
            figures += [
                at_most(f"upload of {USERS:,} {name} ids until in force", goal_s, round(took_s, 1), "s"),
                expect(f"users in force, {name} ids", USERS, build["size"]),
            ]
        peak_mb = read_kb("VmHWM", stack.pids()["api"]) / 1024
        figures += [
            note("the API before", round(before_mb), "MB"),
            at_most("the API at its highest", 400, round(peak_mb), "MB"),
        ]
        began = asyncio.get_running_loop().time()
        path, csv = "/v1/cohorts/all/members?change=add", {"Content-Type": "text/csv"}
        answer = await call(client.post(path, content=b"one-more\n", headers=csv))
        assert answer.headers["Fillip-In-Force"] == "true"
        took_ms = (asyncio.get_running_loop().time() - began) * 1000
        return [*figures, at_most("one user more, until in force", 1_000, round(took_ms), "ms")]


async def upload(client: httpx.AsyncClient) -> tuple[float, dict[str, int]]:
    """Seconds until a list is in force, and its build."""

    async def pour():
        for start in range(0, USERS, PIECE):
            yield b"".join(b"customer-%08d\n" % number for number in range(start, start + PIECE))

    began = asyncio.get_running_loop().time()
    answer = await call(client.put("/v1/cohorts/all/members", content=pour(), headers=CSV))
    return asyncio.get_running_loop().time() - began, answer.json()


def read_kb(name: str, pid: int) -> int:
    """A figure of a process's status, in kB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
