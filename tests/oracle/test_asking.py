"""Public codes, grants by hand and merges of users against the reference model, and that it finds what is wrong with them."""

from collections import Counter

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.oracle.asking import ASKED, AskingMachine
from tests.oracle.faults import find
from tests.oracle.faults_asked import FAULTS_ASKED
from tests.oracle.focus import ASKED as ALL_ASKED
from tests.oracle.focus import narrow
from tests.oracle.machine import Site
from tests.oracle.planting import SEARCH

EXAMPLES = 12


def test_what_is_asked_of_fillip_and_who_becomes_whom_agrees_with_the_model(oracle_site: Site):
    about = {"site": oracle_site, "bites": Counter(), "differences": []}
    machine: type[AskingMachine] = type("Asking", (AskingMachine,), about | narrow(ALL_ASKED))
    run_state_machine_as_test(machine, settings=settings(SEARCH, max_examples=EXAMPLES))
    assert {what for what, times in machine.bites.items() if times} >= ASKED, machine.bites


def test_a_planted_fault_of_a_merge_is_found(oracle_site: Site):
    fault = next(each for each in FAULTS_ASKED if each.name == "two goes at one quest after a merge")
    assert find(oracle_site, fault).said
