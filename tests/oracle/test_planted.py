"""Planted faults that few sequences show: of each the smallest story that must, which holds without the fault."""

from collections import Counter
from collections.abc import Callable

import pytest

from tests.oracle.asking import AskingMachine
from tests.oracle.catalogue import CHANGED, DEFINITIONS
from tests.oracle.faults import FAULTS
from tests.oracle.machine import Site
from tests.oracle.said import NEWEST, Said

MANY = 16
"""Events that a worker takes at once."""


def buy(user: str, hours: int = 0) -> Said:
    return user, "BUY", 100, "x", hours


def follow(machine: AskingMachine) -> None:
    """What was over when another began is closed: an event from its window gives it nothing."""
    machine.open("history", {"pair"}, [], MANY)
    machine.produce([buy("ann", -69), buy("ann", 0), ("ann", "JOIN", 0, None, -68)])


def recount_what_is_kept(machine: AskingMachine) -> None:
    """One purchase is enough by now; two that were needed then are one too few without one of them."""
    machine.open("history", {"twice"}, [], MANY)
    machine.produce([buy("ann"), buy("ann")])
    machine._drain()
    machine._run(machine.shop.change("twice", "keep", CHANGED["twice"][2]))
    machine._tell_workers()
    machine.produce([NEWEST])


def come_again_for_another(machine: AskingMachine) -> None:
    """What came again while the campaign was not for its user is decided, although it decided nothing for this campaign."""
    machine.open("history", {"big"}, [], MANY)
    type(machine).catalogue = {name: DEFINITIONS[name] for name in ("gold", "any")}
    machine.launch_past_by_tier(0, "ann", 0)


def merge_before_the_commit(machine: AskingMachine) -> None:
    """A batch of who was merged while a worker had it is taken anew."""
    machine.open("history", {"any"}, [], MANY)
    machine.stall([buy("bob")], 0, MANY)
    merge(machine)
    machine.wake(0, False)


def come_after_the_merge(machine: AskingMachine) -> None:
    """What comes under the old id is of the new user, and holds up nobody."""
    machine.open("history", {"any"}, [], MANY)
    machine.produce([buy("bob")])
    machine._drain()
    merge(machine)
    machine.produce([buy("bob")])


def grant_by_hand_twice(machine: AskingMachine) -> None:
    """A limit of purchases counts what a campaign for purchases grants by hand."""
    machine.open("history", {"any"}, [("purchases", 1)], MANY)
    machine.grant_by_hand(0, ["ann", "ann"], 1, 0, "", None)


def merge(machine: AskingMachine) -> None:
    machine.journal.append(machine._run(machine.shop.merge("bob", "ann", "m1")))
    machine._tell_workers()


STORIES = {
    "an instance that another follows goes on": follow,
    "kept instances recounted under the newest version": recount_what_is_kept,
    "a backfill that decides what a worker has": come_again_for_another,
    "settled under a user who was merged meanwhile": merge_before_the_commit,
    "events of who was merged before": come_after_the_merge,
    "a grant by hand that is of no campaign's action": grant_by_hand_twice,
}


def tell(site: Site, story: Callable[[AskingMachine], None]) -> list[str]:
    """What is found to be wrong."""
    machine = type("Story", (AskingMachine,), {"site": site, "bites": Counter(), "differences": []})()
    try:
        try:
            story(machine)
        finally:
            machine.teardown()
    except AssertionError:
        if not machine.differences:
            raise
    return machine.differences


@pytest.mark.parametrize("name", STORIES)
def test_its_story_shows_a_planted_fault(oracle_site: Site, name: str, monkeypatch: pytest.MonkeyPatch):
    assert tell(oracle_site, STORIES[name]) == []
    next(fault for fault in FAULTS if fault.name == name).plant(monkeypatch)
    assert tell(oracle_site, STORIES[name])
