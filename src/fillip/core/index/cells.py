"""Bitmaps over the rows of a table: a row is a clause, a bit of a Python integer stands for a row.

For each attribute that rows ask about there is one dial; set to an event's value, it gives the rows that this value
leaves possible, those that do not ask included. The rows that all dials leave are met.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any

from msgspec import Struct

from fillip.core.index.clause import Choice, Key, Members, Range, Value, Want
from fillip.core.named_list import Lists
from fillip.core.rule.run import is_set

MAX_VALUES = 1024
"""Most values that a dial tells apart; a row that asks for more is looked up without, and its rule runs."""
MAX_STEPS = 2048
"""Most intervals that a dial tells apart; beyond, neighbours are one, and the rules of rows that end inside run."""
_FEW = 32  # bits that are cheaper to take one by one than a byte at a time
_BITS = [[bit for bit in range(8) if byte >> bit & 1] for byte in range(256)]

Read = Callable[[Any], Value]


class Row(Struct, frozen=True, gc=False):
    """A clause of the rule at `slot`."""

    slot: int
    wants: Mapping[Key, Want]
    exact: bool


class Dial(Struct, frozen=True):
    """`turn` gives the rows possible for the attributes of an event or user, or for cohorts; `inexact` perhaps."""

    turn: Callable[[Any], int]
    inexact: Set[int]


def list_bits(mask: int) -> list[int]:
    """The places of the bits that are set, in no order."""
    found = []
    if mask < 2:
        return [0] * mask
    if mask.bit_count() <= _FEW:
        while mask:
            found.append(top := mask.bit_length() - 1)
            mask ^= 1 << top
        return found
    for place, byte in enumerate(mask.to_bytes(mask.bit_length() // 8 + 1, "little")):
        if byte:
            found += [place * 8 + bit for bit in _BITS[byte]]
    return found


def set_bits(places: Iterable[int]) -> int:
    """An integer with these bits."""
    places = list(places)
    octets = bytearray(max(places, default=0) // 8 + 1)
    for place in places:
        octets[place >> 3] |= 1 << (place & 7)
    return int.from_bytes(octets, "little")


def flip_bits(places: Sequence[int]) -> int:
    """An integer with those of these bits that are named an odd number of times."""
    octets = bytearray(max(places, default=0) // 8 + 1)
    for place in places:
        octets[place >> 3] ^= 1 << (place & 7)
    return int.from_bytes(octets, "little")


def build_read(key: Key, lists: Lists) -> Read:
    """How the value of a key is read from the event's or the user's attributes."""
    path = key.path
    if key.look == "listed":
        walk, members = _build_walk(path), lists[key.among].members
        return lambda attributes: walk(attributes) in members
    if key.look == "set":
        above = _build_walk(path[:-1])
        return lambda attributes: is_set(above(attributes)[path[-1]])
    return _build_walk(path)


def _build_walk(path: tuple[str, ...]) -> Read:
    def walk(attributes: Any) -> Value:  # noqa: ANN401
        for name in path:
            attributes = attributes[name]
        return attributes

    if len(path) == 1:
        (only,) = path
        return lambda attributes: attributes[only]
    return walk


def build_choices(key: Key, read: Read, every: int, wants: Mapping[int, Choice]) -> Dial:
    """The dial of choices: a mask for each value that any row names, one for all others."""
    inside: dict[Value, list[int]] = {}
    outside: dict[Value, list[int]] = {}
    inexact = set()
    for row, want in wants.items():
        side = inside if want.inside else outside
        if len(side.keys() | want.values) > MAX_VALUES:
            inexact.add(row)
            continue
        for value in want.values:
            side.setdefault(value, []).append(row)
    other = every & ~set_bits(row for row, want in wants.items() if want.inside and row not in inexact)
    masks = {
        value: other & ~set_bits(outside.get(value, ())) | set_bits(inside.get(value, ()))
        for value in inside.keys() | outside.keys()
    }
    look = masks.get
    if key.look == "value" and len(key.path) == 1:
        (name,) = key.path
        return Dial(lambda attributes: look(attributes[name], other), inexact)
    return Dial(lambda attributes: look(read(attributes), other), inexact)


def build_ranges(_: Key, read: Read, every: int, wants: Mapping[int, Range]) -> Dial:
    """The dial of ranges: masks for the points at which a range begins or ends and for the gaps between them."""
    cuts = sorted({bound.value for want in wants.values() for bound in (want.low, want.high) if bound})
    steps, null = 2 * len(cuts) + 1, every & ~set_bits(wants)
    block = -(-steps // MAX_STEPS)
    spans = {row: _find_span(cuts, want) for row, want in wants.items()}
    inexact = {row for row, (first, last) in spans.items() if first % block or (last + 1) % block}
    nan = null | set_bits(row for row, want in wants.items() if want.nan)
    taken = ((first // block, last // block, row) for row, (first, last) in spans.items() if first <= last)
    masks = _sweep(null, taken, steps // block + 1)
    at_cuts = {cut: masks[(2 * place + 1) // block] for place, cut in enumerate(cuts)}
    between = [masks[2 * place // block] for place in range(len(cuts) + 1)]

    def turn(attributes: Any) -> int:  # noqa: ANN401 - as Dial
        value = read(attributes)
        mask = at_cuts.get(value)
        if mask is not None:
            return mask
        if value is None:
            return null
        return between[bisect_left(cuts, value)] if value == value else nan

    return Dial(turn, inexact)


def _find_span(cuts: Sequence[Value], want: Range) -> tuple[int, int]:
    """First and last step inside; step 2n + 1 is the n-th cut, the even ones are the gaps."""
    low, high = want.low, want.high
    first = 2 * bisect_left(cuts, low.value) + 1 + (not low.included) if low else 0
    return first, (2 * bisect_left(cuts, high.value) + 1 - (not high.included) if high else 2 * len(cuts))


def _sweep(mask: int, spans: Iterable[tuple[int, int, int]], steps: int) -> list[int]:
    """A mask for each step: `mask` and the rows of the spans (first step, last step, row) it lies in."""
    changes: dict[int, list[int]] = {}
    for first, last, row in spans:
        changes.setdefault(first, []).append(row)
        changes.setdefault(last + 1, []).append(row)
    masks = []
    for step in range(steps):
        for row in changes.get(step, ()):
            mask ^= 1 << row
        masks.append(mask)
    return masks


def build_members(_: Key, read: Read, every: int, wants: Mapping[int, Members]) -> Dial:
    """The dial of members: for each that any row asks for, the rows that take it, and those that bar it."""
    asked: dict[Value, list[int]] = {}
    barred: dict[Value, list[int]] = {}
    inexact = set()
    for row, want in wants.items():
        any_of = want.any_of or frozenset()
        if len(asked.keys() | any_of) > MAX_VALUES or len(barred.keys() | want.none_of) > MAX_VALUES:
            inexact.add(row)
            continue
        for side, values in ((asked, any_of), (barred, want.none_of)):
            for value in values:
                side.setdefault(value, []).append(row)
    other = every & ~set_bits(row for rows in asked.values() for row in rows)
    takes = {value: set_bits(rows) for value, rows in asked.items()}
    bars = {value: set_bits(rows) for value, rows in barred.items()}

    def turn(attributes: Any) -> int:  # noqa: ANN401 - as Dial
        mask, out = other, 0
        for item in read(attributes):
            mask |= takes.get(item, 0)
            out |= bars.get(item, 0)
        return mask & ~out if out else mask

    return Dial(turn, inexact)


_DIALS: dict[str, Callable[..., Dial]] = {
    "value": build_choices,
    "set": build_choices,
    "order": build_ranges,
    "members": build_members,
    "listed": build_choices,
}


class Cells:
    """Rows, and the dials that tell which of them an event meets."""

    def __init__(self, rows: Sequence[Row], lists: Lists) -> None:
        self.slots = [row.slot for row in rows]
        self.wants = [row.wants for row in rows]
        wants: dict[Key, dict[int, Want]] = {}
        for place, row in enumerate(rows):
            for key, want in row.wants.items():
                wants.setdefault(key, {})[place] = want
        self.every = every = (1 << len(rows)) - 1
        keys = sorted(wants, key=lambda key: -len(wants[key]))  # what most ask leaves fewest
        self.dials: Mapping[Key, Dial]
        self.dials = dials = {key: _DIALS[key.look](key, build_read(key, lists), every, wants[key]) for key in keys}
        self._of_event = [dial.turn for key, dial in dials.items() if key.root == "event"]
        self._of_user = [dial.turn for key, dial in dials.items() if key.root == "user"]
        self._of_cohorts = [dial.turn for key, dial in dials.items() if key.root == "cohorts"]
        inexact = {place for dial in dials.values() for place in dial.inexact}
        self.exact = [row.exact and place not in inexact for place, row in enumerate(rows)]
        self.least: dict[tuple[str, ...], dict[int, float | None]] = {}  # filled by core.index.near as it is asked

    def collect(
        self, found: dict[int, bool], mask: int, event: Value, user: Mapping[str, object] | None, cohorts: Value
    ) -> None:
        """Add to `found` the slots of the rows in `mask` that are met, and whether that is sure.

        A `user` that can't be read is None: nothing is asked of it then.
        """
        for turn in self._of_event:
            mask &= turn(event)
            if not mask:
                return
        if self._of_user and user is not None:
            for turn in self._of_user:
                mask &= turn(user)
        for turn in self._of_cohorts:
            mask &= turn(cohorts)
        if not mask:
            return
        slots, exact = self.slots, self.exact
        for place in list_bits(mask):
            slot = slots[place]
            found[slot] = exact[place] or found.get(slot, False)
