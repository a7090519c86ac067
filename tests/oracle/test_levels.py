"""Levels against the reference model, and that it finds what is wrong with them."""

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.oracle.climbing import CLIMBING, ClimbingMachine
from tests.oracle.faults import find
from tests.oracle.faults_levels import FAULTS_LEVELS, LEVELS
from tests.oracle.focus import narrow
from tests.oracle.machine import Site
from tests.oracle.planting import SEARCH

EXAMPLES, STEPS = 8, 25
NAMED = ("a merge that forgets what was earned", "a level that falls a day late")


def test_levels_agree_with_the_model_whoever_posts_and_whenever_time_passes(oracle_site: Site):
    about = {"site": oracle_site, "bites": Counter(), "differences": []}
    machine: type[ClimbingMachine] = type("Climbing", (ClimbingMachine,), about | narrow(LEVELS))
    run_state_machine_as_test(machine, settings=settings(SEARCH, max_examples=EXAMPLES, stateful_step_count=STEPS))
    assert {what for what, times in machine.bites.items() if times} >= CLIMBING, machine.bites


@pytest.mark.parametrize("name", NAMED)
def test_a_planted_fault_of_a_level_is_found(oracle_site: Site, name: str):
    fault = next(each for each in FAULTS_LEVELS if each.name == name)
    assert find(oracle_site, fault).said
