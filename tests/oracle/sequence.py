"""The order in which counters were taken, told by the sequence numbers that the ledger stored."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Protocol

from tests.oracle.claim import CounterName, Name


class Taking(Protocol):
    """What the ledger stored of a decision or a reversal; `uses` are its `counters` with the number it found each at."""

    @property
    def uses(self) -> tuple[Mapping[str, Any], ...]: ...
    @property
    def counters(self) -> tuple[CounterName, ...]: ...
    @property
    def moves(self) -> bool:
        """Whether it changed its counters, or only looked at them."""
        ...


@dataclass(frozen=True)
class Stored:
    """A decision as the ledger keeps it, in the model's words."""

    name: Name
    user: str
    outcome: str
    reason: str
    uses: tuple[Mapping[str, Any], ...]
    counters: tuple[CounterName, ...]
    version: int  # of the campaign
    variant: str | None
    shadow: bool
    worth: tuple[tuple[str, int, str | None, int | None], ...]
    """(kind, value, currency, the value that was wanted where a limit had less left) of each reward that it gives, or would give were its campaign not in shadow"""

    @property
    def moves(self) -> bool:
        """A refusal leaves its counters as they are."""
        return self.outcome == "granted"


@dataclass(frozen=True)
class StoredReversal:
    """A reversal as the ledger keeps it; `quests` are (campaign, instance, was, state, taken)."""

    name: str
    state: str
    reason: str
    in_part: bool
    uses: tuple[Mapping[str, Any], ...]
    counters: tuple[CounterName, ...]
    quests: tuple[tuple[str, str, str, str, Mapping[str, tuple[int, int, int]]], ...]
    moves: bool = True
    found_less: bool = False
    """Whether asking again for what was left of its event found less than was granted, and more than nothing."""


@dataclass(frozen=True)
class StoredMerge:
    """A merge of users as the ledger keeps it: it stands between two batches, whatever counters say."""

    name: str
    user: str
    into: str
    points: Mapping[str, int]
    counters_moved: int
    instances: int
    badges: int
    reason: str = "merged"
    uses: tuple[Mapping[str, Any], ...] = ()
    counters: tuple[CounterName, ...] = ()
    moves: bool = False


class Unordered(Exception):
    """No order of the decisions explains their sequence numbers."""


def order_by_sequence(takings: Sequence[Taking], behind: Mapping[int, Iterable[int]]) -> list[int]:
    """The takings, given in log order, in one that all their sequence numbers agree with; as indexes.

    `behind` names those that one comes behind in any case. Raises Unordered. A counter's number is how often it was moved:
    a refusal with number n stands before what moved it at n and behind what moved it at n - 1. What no counter orders
    stays in the order of the log.
    """
    lines: dict[CounterName, list[tuple[int, bool, int]]] = defaultdict(list)
    for index, taking in enumerate(takings):
        for counter, use in zip(taking.counters, taking.uses, strict=True):
            lines[counter].append((use["version"], taking.moves, index))
    after: dict[int, set[int]] = {index: set(behind.get(index, ())) for index in range(len(takings))}
    for line in lines.values():
        line.sort()
        _chain(line, after)
    try:
        return _sort({index: earlier - {index} for index, earlier in after.items()})
    except CycleError as error:
        raise Unordered(f"these go in a circle: {[takings[index] for index in error.args[1]]}") from None


def _chain(line: list[tuple[int, bool, int]], behind: dict[int, set[int]]) -> None:
    """Each grant behind the refusals of its number and the grant before it, each refusal behind the grant before."""
    last_grant: int | None = None
    refusals: list[int] = []
    for _version, granted, index in line:
        if granted:
            behind[index].update(refusals if last_grant is None else [*refusals, last_grant])
            last_grant, refusals = index, []
        else:
            refusals.append(index)
            if last_grant is not None:
                behind[index].add(last_grant)


def _sort(behind: Mapping[int, set[int]]) -> list[int]:
    sorter = TopologicalSorter(behind)
    sorter.prepare()
    ordered: list[int] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        ordered += ready
        sorter.done(*ready)
    return ordered
