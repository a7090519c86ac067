"""Planted faults: what is wrong, the patch that makes it so in this process, and what the sequences that look for it are about."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, settings

from fillip.settle import postgres
from tests.oracle.focus import Focus

Plant = Callable[[pytest.MonkeyPatch], None]
SEARCH = settings(
    derandomize=True,  # what is found once is found again
    stateful_step_count=15,
    deadline=None,
    database=None,
    phases=(Phase.generate,),
    report_multiple_bugs=False,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)


@dataclass(frozen=True)
class Fault:
    """What is wrong, and the patch that makes it so."""

    name: str
    plant: Plant
    focus: Focus | None = None
    """What the sequences that look for it are cut to; None: they are drawn from all that there is."""


@dataclass(frozen=True)
class Search:
    """What looking for a planted fault came to: what was `said` of it, "" where it was not found, and after how many sequences.

    `whole`: nothing was left to be searched when it ended.
    """

    said: str
    sequences: int
    whole: bool = True


def plant_sql(name: str, old: str, new: str, queries: dict[str, str] = postgres.SQL) -> Plant:
    """Another text in a query, in place of one that it has."""
    assert old in queries[name], f"{name}.sql has changed: plant the fault anew"
    return lambda patch: patch.setitem(queries, name, queries[name].replace(old, new))


def plant_attribute(place: object, name: str, wrong: object) -> Plant:
    """Another attribute of a module or a class, in place of one that it has."""
    assert hasattr(place, name), f"{place} has no {name} any more: plant the fault anew"
    return lambda patch: patch.setattr(place, name, wrong)
