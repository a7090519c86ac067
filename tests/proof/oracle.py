"""The state machine's long run, and the mutation gate; `python -m tests.proof.oracle [PART OF A FAULT'S NAME ...]` runs the gate alone."""

import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import structlog
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from rich.console import Console

from fillip.app.up import stop_on_signals
from fillip.embedded.servers import Servers
from fillip.figures import Figure, at_least, expect, note, open_screen, show_figures
from tests.oracle.asking import ASKED, RARELY_ASKED, AskingMachine
from tests.oracle.machine import BITES, RARE, Site
from tests.proof.gate import NAMES, find_faults, open_site

EXAMPLES = 1_500
WANTED = BITES | RARE | ASKED | RARELY_ASKED
"""What must come up in them."""


def prove_oracle(postgres_dsn: str, screen: Console) -> list[Figure]:
    """Run both in databases of their own on this server."""
    with open_site(postgres_dsn, "oracle") as site:
        figures = _run_long(site, screen)
    return [*figures, *find_faults(postgres_dsn, screen)]


def prove_gate(screen: Console, wanted: Sequence[str]) -> list[Figure]:
    """Run the mutation gate on servers of its own; of the faults whose names have one of these texts in them, where there are any."""
    names = [name for name in NAMES if not wanted or any(part in name for part in wanted)]
    with tempfile.TemporaryDirectory(prefix="fillip-proof-") as folder, Servers(Path(folder) / "state") as addresses:
        return find_faults(addresses.postgres_dsn, screen, names)


def _run_long(site: Site, screen: Console) -> list[Figure]:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING)
    )  # workers tell of each book
    screen.print(f"[dim]state machine: {EXAMPLES:,} examples[/]")
    bites = Counter[str]()
    machine = type("Long", (AskingMachine,), {"site": site, "bites": bites, "differences": []})
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
    figures = [at_least(f"state machine: {what}", 1, bites[what]) for what in sorted(WANTED)]
    figures += [note(f"state machine: {what}", count) for what, count in sorted(bites.items()) if what not in WANTED]
    return [expect(f"ledger unlike the model, in {EXAMPLES:,} examples", "none", said), *figures]


if __name__ == "__main__":
    with stop_on_signals():
        screen = open_screen()
        ok = show_figures("proof: planted faults", "faults", prove_gate(screen, sys.argv[1:]), screen)
        sys.exit(0 if ok else 1)
