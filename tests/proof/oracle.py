"""The state machine's long run, and the mutation gate."""

from collections import Counter

import psycopg
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from rich.console import Console

from fillip.app.figures import Figure, expect, note
from fillip.migrations import migrate
from tests.oracle.faults import FAULTS, find
from tests.oracle.machine import Machine, Site

EXAMPLES = 1_500


def prove_oracle(postgres_dsn: str, screen: Console) -> list[Figure]:
    """Run both in a database of their own on this server."""
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute("CREATE DATABASE oracle")
    dsn = f"{postgres_dsn.rpartition('/')[0]}/oracle"
    migrate(dsn)
    site = Site(dsn)
    try:
        return [*_run_long(site, screen), *_find_faults(site, screen)]
    finally:
        site.close()


def _run_long(site: Site, screen: Console) -> list[Figure]:
    screen.print(f"[dim]state machine: {EXAMPLES:,} examples[/]")
    machine = type("Long", (Machine,), {"site": site, "bites": Counter()})
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
    bites = [note(f"state machine: {what}", count) for what, count in sorted(machine.bites.items())]
    return [expect(f"ledger unlike the model, in {EXAMPLES:,} examples", "none", said), *bites]


def _find_faults(site: Site, screen: Console) -> list[Figure]:
    missed = []
    for fault in FAULTS:
        said = find(site, fault).partition("\n")[0]
        screen.print(f"[dim]{fault.name}: {said[:90] or 'NOT FOUND'}[/]", highlight=False)
        missed += [] if said else [fault.name]
    return [
        expect("planted faults found", len(FAULTS), len(FAULTS) - len(missed)),
        expect("planted faults missed", "none", ", ".join(missed) or "none"),
    ]
