"""Limits of the reference model: who still fits, one claim after the other; and the order in which they were taken."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from .model import Claim, CounterName, Touch

Name = tuple[str, str, str]
"""(campaign, instance, event)"""


@dataclass(frozen=True)
class Verdict:
    """What a claim should have come to. `before` is the use of each counter before it."""

    claim: Claim
    reason: str
    before: Mapping[CounterName, int]
    refused_by: tuple[Touch, ...]

    @property
    def outcome(self) -> str:
        """Granted or denied."""
        return "granted" if self.reason == "granted" else "denied"


@dataclass
class Tills:
    """All counters, from nothing."""

    used: dict[CounterName, int] = field(default_factory=lambda: defaultdict(int))
    granted: set[tuple[str, str, str]] = field(default_factory=set)

    def decide(self, claim: Claim) -> Verdict:
        """Grant if every limit has room for all of it, and take it from all; else take from none."""
        before = {touch.counter: self.used[touch.counter] for touch in claim.touches}
        refused_by = tuple(t for t in claim.touches if before[t.counter] + t.amount > t.cap)
        reason = claim.refusal or ("outranked" if claim.rivals & self.granted else "limit" if refused_by else "granted")
        if reason == "granted":
            self.granted.add(claim.name)
            for touch in claim.touches:
                self.used[touch.counter] += touch.amount
        return Verdict(claim, reason, before, refused_by)


@dataclass(frozen=True)
class Stored:
    """A decision as the ledger keeps it, in the model's words."""

    name: tuple[str, str, str]
    user: str
    outcome: str
    reason: str
    uses: tuple[Mapping[str, Any], ...]
    counters: tuple[CounterName, ...]
    place: tuple[int, int]  # (partition, offset)
    version: int  # of the campaign


class Unordered(Exception):
    """No order of the decisions explains their sequence numbers."""


def order_by_sequence(decisions: Iterable[Stored], rivals: Mapping[Name, Iterable[Name]]) -> list[Stored]:
    """The decisions in an order that all their sequence numbers agree with, each behind the rival that won. Raises Unordered.

    A rival that was refused leaves it nothing to wait for: it may have been refused by a hint on an earlier count.

    A counter's number is how many grants it had seen: a refusal with number n stands before the grant with number n
    and behind the one with n - 1. What no counter orders stays in the order of the log.
    """
    decisions = sorted(decisions, key=lambda stored: stored.place)
    lines: dict[CounterName, list[tuple[int, bool, int]]] = defaultdict(list)
    for index, stored in enumerate(decisions):
        for counter, use in zip(stored.counters, stored.uses, strict=True):
            lines[counter].append((use["version"], stored.outcome == "granted", index))
    behind: dict[int, set[int]] = {index: set() for index in range(len(decisions))}
    for line in lines.values():
        line.sort()
        _chain(line, behind)
    numbers = {stored.name: index for index, stored in enumerate(decisions)}
    for index, stored in enumerate(decisions):
        won = [numbers[name] for name in rivals[stored.name] if decisions[numbers[name]].outcome == "granted"]
        behind[index].update(won)
    try:
        return [decisions[index] for index in _sort(behind)]
    except CycleError as error:
        raise Unordered(f"decisions go in a circle: {[decisions[i].name for i in error.args[1]]}") from None


def _chain(line: list[tuple[int, bool, int]], behind: dict[int, set[int]]) -> None:
    """Each grant behind the refusals of its number and the grant before it, each refusal behind the grant before."""
    last_grant, refusals = None, []
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
