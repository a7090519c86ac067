"""The state machine's long run, and the mutation gate; `python -m tests.proof.oracle` runs the gate alone."""

import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import structlog
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from rich.console import Console

from fillip.app.up import stop_on_signals
from fillip.embedded.servers import Servers
from fillip.figures import Figure, at_least, expect, note, open_screen, show_figures
from fillip.migrations import migrate
from tests.oracle.faults import FAULTS, find
from tests.oracle.machine import BITES, RARE, Machine, Site, two_grants_an_event

EXAMPLES = 1_500


def prove_oracle(postgres_dsn: str, screen: Console) -> list[Figure]:
    """Run both in a database of their own on this server."""
    with _open_site(postgres_dsn) as site:
        return [*_run_long(site, screen), *_find_faults(site, screen)]


def prove_gate(screen: Console) -> list[Figure]:
    """Run the mutation gate on servers of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="fillip-proof-") as folder,
        Servers(Path(folder) / "state") as addresses,
        _open_site(addresses.postgres_dsn) as site,
    ):
        return _find_faults(site, screen)


@contextmanager
def _open_site(postgres_dsn: str) -> Iterator[Site]:
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute("CREATE DATABASE oracle")
    dsn = f"{postgres_dsn.rpartition('/')[0]}/oracle"
    migrate(dsn)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING)
    )  # workers tell of each book
    site = Site(dsn)
    try:
        with two_grants_an_event():
            yield site
    finally:
        site.close()


def _run_long(site: Site, screen: Console) -> list[Figure]:
    screen.print(f"[dim]state machine: {EXAMPLES:,} examples[/]")
    bites = Counter[str]()
    machine = type("Long", (Machine,), {"site": site, "bites": bites, "differences": []})
    wanted = settings(
        max_examples=EXAMPLES,
        derandomize=False,
        stateful_step_count=50,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(machine, settings=wanted)
        said = "none"
    except Exception as difference:
        said = str(difference)
    figures = [at_least(f"state machine: {what}", 1, bites[what]) for what in sorted(BITES | RARE)]
    figures += [
        note(f"state machine: {what}", count) for what, count in sorted(bites.items()) if what not in BITES | RARE
    ]
    return [expect(f"ledger unlike the model, in {EXAMPLES:,} examples", "none", said), *figures]


def _find_faults(site: Site, screen: Console) -> list[Figure]:
    missed, seconds = [], []
    for fault in FAULTS:
        began = time.monotonic()
        try:
            said = find(site, fault).partition("\n")[0]
        except Exception as hindrance:  # the others are to be looked for all the same
            screen.print(f"[red]{fault.name}: hindered by {hindrance!r}[/]", highlight=False, soft_wrap=True)
            said = ""
        took_s = round(time.monotonic() - began, 1)
        screen.print(f"[dim]{fault.name}, {took_s} s: {said[:90] or 'NOT FOUND'}[/]", highlight=False, soft_wrap=True)
        seconds.append(note(f"planted fault: {fault.name}", took_s, "s"))
        missed += [] if said else [fault.name]
    return [
        *seconds,
        expect("planted faults found", len(FAULTS), len(FAULTS) - len(missed)),
        expect("planted faults missed", "none", ", ".join(missed) or "none"),
    ]


if __name__ == "__main__":
    with stop_on_signals():
        screen = open_screen()
        ok = show_figures("proof: planted faults", "faults", prove_gate(screen), screen)
        sys.exit(0 if ok else 1)
