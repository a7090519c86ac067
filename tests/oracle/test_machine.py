"""The state machine on a real PostgreSQL: whatever happens, the ledger says what the reference model says."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.oracle.extremes import ExtremeMachine
from tests.oracle.faults import QUICK, find
from tests.oracle.machine import BITES, Machine, Site
from tests.oracle.planting import Fault

EXAMPLES = 150
"""Of each half; the two halves run side by side."""
PHASES = (Phase.generate,)
"""Add Phase.shrink to make a failure smaller: it takes minutes."""
HALVES = (10, 14)
"""Seeds of the two."""


PLAY = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    deadline=None,
    phases=PHASES,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("half", HALVES)
def test_whatever_happens_the_ledger_agrees_with_the_model(oracle_site: Site, half: int):
    machine: type[Machine] = seed(half)(
        type(f"Machine{half}", (Machine,), {"site": oracle_site, "bites": Counter(), "differences": []})
    )
    run_state_machine_as_test(machine, settings=PLAY)
    assert {what for what, times in machine.bites.items() if times} >= BITES, machine.bites


def test_it_agrees_among_events_at_and_beyond_every_bound_too(oracle_site: Site):
    machine: type[Machine] = seed(5)(
        type("Extremes", (ExtremeMachine,), {"site": oracle_site, "bites": Counter(), "differences": []})
    )
    run_state_machine_as_test(machine, settings=settings(PLAY, max_examples=EXAMPLES // 3))
    assert machine.bites["decisions granted"] > 0
    assert machine.bites["events refused"] > 0


@pytest.mark.parametrize("fault", QUICK, ids=lambda fault: fault.name)
def test_a_planted_fault_is_found(oracle_site: Site, fault: Fault):
    assert find(oracle_site, fault).said
