"""Which rules an event misses by one amount alone, and the least that would do: found by the cells, without running each rule.

An amount is what a rule compares by order: `event.cents >= 5000`. Where all else that a clause asks is met, and this is not, the
lower bound is what the event lacks. What is asked of the same attribute besides (an upper bound, values it must not have) must hold
there too.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct

from fillip.core.index.cells import Cells, list_bits, set_bits
from fillip.core.index.clause import Choice, Key, Range, Value, Want

Path: TypeAlias = tuple[str, ...]
"""`event.a.b` is ("a", "b")."""
Amount: TypeAlias = int | float


class Near(Struct, frozen=True, gc=False):
    """With `need` at `path` instead of `have`, which is less, a clause is met: all of it where that is `sure`."""

    path: Path
    have: Amount
    need: Amount
    sure: bool

    @property
    def less(self) -> Amount:
        """The next smaller amount of its type: the event's own, or one that is not enough either."""
        return math.nextafter(self.need, -math.inf) if isinstance(self.need, float) else self.need - 1

    @property
    def distance(self) -> float:
        """How much of what is needed is missing: 0.25 where three quarters are there; above 1 where less than nothing is."""
        missing = float(self.need) - float(self.have)
        return missing / abs(self.need) if self.need else missing


def find_near(
    cells: Cells,
    mask: int,
    event: Mapping[str, object],
    user: Mapping[str, object] | None,
    cohorts: Value,
    amounts: Mapping[Path, Amount],
) -> Iterator[tuple[int, Near]]:
    """(slot, what it lacks) of the rows in `mask` that all dials leave possible but those of one path of `amounts`.

    `amounts` has what the event has there. A `user` that can't be read is None, as for Cells.collect.
    """
    turned: dict[Path, int] = {}
    for key, dial in cells.dials.items():
        if key.root == "event" and key.path in amounts:
            turned[key.path] = turned.get(key.path, cells.every) & dial.turn(event)
        elif key.root != "user":
            mask &= dial.turn(event if key.root == "event" else cohorts)
        elif user is not None:
            mask &= dial.turn(user)
        if not mask:
            return
    paths = list(turned)
    for path, others in zip(paths, _meet_others([turned[path] for path in paths]), strict=True):
        left = mask & others
        blurred = [place for key, dial in cells.dials.items() if key.path == path for place in dial.inexact]
        known = cells.least.setdefault(path, {})
        for place in list_bits(
            left & (~turned[path] | set_bits(blurred))
        ):  # what a dial can't tell apart may be missed too
            if place not in known:
                known[place] = _find_least(cells.wants[place], path)
            need = known[place]
            if need is not None and need > amounts[path]:
                yield cells.slots[place], Near(path, amounts[path], need, cells.exact[place])


def _meet_others(masks: Sequence[int]) -> list[int]:
    """For each mask, what all others have in common."""
    others, before = [], -1
    for mask in masks:
        others.append(before)
        before &= mask
    behind = -1
    for place in range(len(masks) - 1, -1, -1):
        others[place] &= behind
        behind &= masks[place]
    return others


def _find_least(wants: Mapping[Key, Want], path: Path) -> Amount | None:
    """The least amount from their lower bound on that these wants take; None where that is none, or a named list would have to say so."""
    mine = [(key, want) for key, want in wants.items() if key.root == "event" and key.path == path]
    low = next((want.low for _, want in mine if isinstance(want, Range)), None)
    if low is None or any(key.look == "listed" for key, _ in mine):
        return None
    least: Amount = low.value if low.included else _step(low.value)
    barred = frozenset[Value]().union(
        *(want.values for _, want in mine if isinstance(want, Choice) and not want.inside)
    )
    while least in barred:
        least = _step(least)
    return least if all(_takes(key, want, least) for key, want in mine) else None


def _step(amount: Amount) -> Amount:
    return math.nextafter(amount, math.inf) if isinstance(amount, float) else amount + 1


def _takes(key: Key, want: Want, amount: Amount) -> bool:
    if isinstance(want, Choice):
        return ((True if key.look == "set" else amount) in want.values) is want.inside
    if isinstance(want, Range):
        high = want.high
        return high is None or amount < high.value or (high.included and amount == high.value)
    return False
