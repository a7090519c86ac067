"""The mutation gate as one run: every planted fault is looked for, each in sequences cut to what it is about, by a process a core."""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from multiprocessing.util import Finalize

import psycopg
import structlog
from rich.console import Console

from fillip.figures import Figure, expect, note
from fillip.migrations import migrate
from tests.oracle.faults import FAULTS, find
from tests.oracle.machine import Site, two_grants_an_event
from tests.oracle.planting import Fault, Search
from tests.settle import wallet_site
from tests.settle.wallet_faults import WALLET_FAULTS, find_in_wallets

NAMES = [fault.name for fault in (*FAULTS, *WALLET_FAULTS)]
SEARCHES = 3


@dataclass(frozen=True)
class Hunt:
    """A search that has ended, or was `hindered`, and what it took: by the clock, and of its process's processor time."""

    search: Search
    took_s: float
    cpu_s: float
    hindered: str = ""


@contextmanager
def open_site(postgres_dsn: str, database: str) -> Iterator[Site]:
    """A new database on this server, with all that the state machine needs."""
    site = Site(make_database(postgres_dsn, database))
    try:
        with two_grants_an_event():
            yield site
    finally:
        site.close()


def make_database(postgres_dsn: str, database: str) -> str:
    """A new database on this server; its DSN."""
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database}")
    dsn = f"{postgres_dsn.rpartition('/')[0]}/{database}"
    migrate(dsn)
    return dsn


def find_faults(postgres_dsn: str, screen: Console, names: Sequence[str] = NAMES) -> list[Figure]:
    """What was found of the faults of these names, in databases on this server."""
    began, hunts, cores = time.monotonic(), dict[str, Hunt](), os.cpu_count() or 1
    pool = ProcessPoolExecutor(cores, get_context("spawn"))
    try:
        jobs = {pool.submit(_hunt, postgres_dsn, name): name for name in names}
        for job in as_completed(jobs):
            name, hunt = jobs[job], job.result()
            hunts[name] = hunt
            said = hunt.search.said.partition("\n")[0][:90]
            said = said or (f"HINDERED by {hunt.hindered}" if hunt.hindered else _tell_missed(hunt))
            screen.print(
                f"{len(hunts)}/{len(jobs)} {name}, {_measure(hunt)}: {said}",
                highlight=False,
                soft_wrap=True,
                markup=False,
            )
    finally:
        pool.shutdown(cancel_futures=True)
    missed = [name for name in names if not hunts[name].search.said]
    screen.print(f"{len(names) - len(missed)} of {len(names)} planted faults found", highlight=False)
    return [
        *(_tell(name, hunts[name]) for name in names),
        expect("planted faults found", len(names), len(names) - len(missed)),
        expect("planted faults missed", "none", ", ".join(missed) or "none"),
        note(f"search for all, on {cores} cores", round((time.monotonic() - began) / 60, 1), "min"),
    ]


def _tell(name: str, hunt: Hunt) -> Figure:
    return Figure(
        f"planted fault: {name}", "found", "yes" if hunt.search.said else "no", _measure(hunt), bool(hunt.search.said)
    )


def _tell_missed(hunt: Hunt) -> str:
    return "NOT FOUND" if hunt.search.whole else "NOT FOUND, and not searched to its end"


def _measure(hunt: Hunt) -> str:
    return f"{hunt.search.sequences} sequences, {hunt.took_s:.0f} s, {hunt.cpu_s:.1f} s of CPU"


def _hunt(postgres_dsn: str, name: str) -> Hunt:
    """Look for a fault, in one of the processes. A search that is hindered says nothing, and is made again."""
    fault = next(fault for fault in (*FAULTS, *WALLET_FAULTS) if fault.name == name)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL)
    )  # the product may say what is wrong
    began, began_cpu, search, hindered = time.monotonic(), time.process_time(), Search("", 0), ""
    for _ in range(SEARCHES):
        try:
            search = (
                _find_in_wallets(postgres_dsn, fault)
                if fault in WALLET_FAULTS
                else find(_open_own(postgres_dsn), fault)
            )
            break
        except Exception as hindrance:  # the others are to be looked for all the same
            hindered = repr(hindrance)
    return Hunt(search, time.monotonic() - began, time.process_time() - began_cpu, "" if search.sequences else hindered)


def _find_in_wallets(postgres_dsn: str, fault: Fault) -> Search:
    """In a database of its own: its sums are looked at over all users, and nobody mends what the fault leaves."""
    site = wallet_site.Site(make_database(postgres_dsn, f"wallets_{time.time_ns()}"))
    try:
        return find_in_wallets(site, fault)
    finally:
        site.close()


@cache
def _open_own(postgres_dsn: str) -> Site:
    """The site of this process, for as long as it lives."""
    return _OPEN.enter_context(open_site(postgres_dsn, f"gate_{os.getpid()}"))


_OPEN = ExitStack()
Finalize(_OPEN, _OPEN.close, exitpriority=1)  # which a process of a pool does before it ends
