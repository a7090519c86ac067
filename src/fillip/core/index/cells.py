"""Bitmaps over the rows of a table: a row is a clause, a bit of a Python integer stands for a row.

For each attribute that rows ask about there is one dial; set to an event's value, it gives the rows that this value
leaves possible, those that do not ask included. The rows that all dials leave are met.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from fillip.core.index.clause import Bound, Choice, Key, Members, Range, Value, Want
from fillip.core.rule.run import is_set

MAX_VALUES = 1024
"""Most values that a dial tells apart; a row that asks for more is looked up without, and its rule runs."""
MAX_STEPS = 2048
"""Most intervals that a dial tells apart; beyond, neighbours are one, and the rules of rows that end inside run."""
_FEW = 32  # bits that are cheaper to take one by one than a byte at a time
_BITS = [[bit for bit in range(8) if byte >> bit & 1] for byte in range(256)]

Read = Callable[[Any], Value]


class Row(Struct, frozen=True):
    """A clause of the rule at `slot`."""

    slot: int
    wants: Mapping[Key, Want]
    exact: bool


class Dial(Protocol):
    """`inexact` are rows that it may leave without being sure."""

    inexact: set[int]

    def turn(self, attributes: Any) -> int:  # noqa: ANN401 - a mapping, or the set of cohorts
        """The rows possible for these attributes of an event or user, or for these cohorts."""
        ...


def list_bits(mask: int) -> list[int]:
    """The places of the bits that are set, in no order."""
    found = []
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


def build_read(key: Key) -> Read:
    """How the value of a key is read from the event's or the user's attributes."""
    path = key.path
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


class Values:
    """The dial of choices."""

    def __init__(self, key: Key, every: int, wants: Mapping[int, Choice]) -> None:
        self.inexact: set[int] = set()
        self._read = build_read(key)
        inside: dict[Value, list[int]] = {}
        outside: dict[Value, list[int]] = {}
        for row, want in wants.items():
            side = inside if want.inside else outside
            if len(side.keys() | want.values) > MAX_VALUES:
                self.inexact.add(row)
                continue
            for value in want.values:
                side.setdefault(value, []).append(row)
        asking = set_bits(row for row, want in wants.items() if want.inside and row not in self.inexact)
        self._other = every & ~asking
        self._met = {
            value: self._other & ~set_bits(outside.get(value, ())) | set_bits(inside.get(value, ()))
            for value in inside.keys() | outside.keys()
        }

    def turn(self, attributes: Any) -> int:  # noqa: ANN401
        """See Dial."""
        return self._met.get(self._read(attributes), self._other)


class Order:
    """The dial of ranges: masks for the points at which a range begins or ends and for the gaps between them."""

    def __init__(self, key: Key, every: int, wants: Mapping[int, Range]) -> None:
        self._read = build_read(key)
        self._cuts = sorted({bound.value for want in wants.values() for bound in (want.low, want.high) if bound})
        steps = 2 * len(self._cuts) + 1
        self._block = -(-steps // MAX_STEPS)
        spans = {row: self._find_span(want, steps - 1) for row, want in wants.items()}
        self.inexact = {row for row, (first, last) in spans.items() if first % self._block or (last + 1) % self._block}
        self._null = every & ~set_bits(wants)
        self._nan = self._null | set_bits(row for row, want in wants.items() if want.nan)
        self._masks = self._sweep(spans, -(-steps // self._block))
        if self._block == 1:
            self.inexact = set()

    def turn(self, attributes: Any) -> int:  # noqa: ANN401
        """See Dial."""
        value = self._read(attributes)
        if value is None:
            return self._null
        if value != value:
            return self._nan
        cuts = self._cuts
        place = bisect_left(cuts, value)
        step = 2 * place + (place < len(cuts) and cuts[place] == value)
        return self._masks[step // self._block]

    def _find_span(self, want: Range, last: int) -> tuple[int, int]:
        """First and last step inside."""
        first = self._find_step(want.low) + (not want.low.included) if want.low else 0
        return first, (self._find_step(want.high) - (not want.high.included) if want.high else last)

    def _find_step(self, bound: Bound) -> int:
        return 2 * bisect_left(self._cuts, bound.value) + 1

    def _sweep(self, spans: Mapping[int, tuple[int, int]], blocks: int) -> list[int]:
        changes: list[list[int]] = [[] for _ in range(blocks + 1)]
        for row, (first, last) in spans.items():
            if first <= last:
                changes[first // self._block].append(row)
                changes[last // self._block + 1].append(row)
        mask, masks = self._null, []
        for rows in changes[:blocks]:
            for row in rows:
                mask ^= 1 << row
            masks.append(mask)
        return masks


class Lists:
    """The dial of members."""

    def __init__(self, key: Key, every: int, wants: Mapping[int, Members]) -> None:
        self.inexact: set[int] = set()
        self._read = build_read(key)
        asked: dict[Value, list[int]] = {}
        barred: dict[Value, list[int]] = {}
        for row, want in wants.items():
            any_of = want.any_of or frozenset()
            if len(asked.keys() | any_of) > MAX_VALUES or len(barred.keys() | want.none_of) > MAX_VALUES:
                self.inexact.add(row)
                continue
            for side, values in ((asked, any_of), (barred, want.none_of)):
                for value in values:
                    side.setdefault(value, []).append(row)
        self._other = every & ~set_bits(row for rows in asked.values() for row in rows)
        self._asked = {value: set_bits(rows) for value, rows in asked.items()}
        self._barred = {value: set_bits(rows) for value, rows in barred.items()}

    def turn(self, attributes: Any) -> int:  # noqa: ANN401
        """See Dial."""
        mask, barred, asked = self._other, 0, self._asked
        for item in self._read(attributes):
            mask |= asked.get(item, 0)
            barred |= self._barred.get(item, 0)
        return mask & ~barred if barred else mask


_DIALS: dict[str, Callable[..., Dial]] = {"value": Values, "set": Values, "order": Order, "members": Lists}


class Cells:
    """Rows, and the dials that tell which of them an event meets."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.slots = [row.slot for row in rows]
        wants: dict[Key, dict[int, Want]] = {}
        for place, row in enumerate(rows):
            for key, want in row.wants.items():
                wants.setdefault(key, {})[place] = want
        self.every = every = (1 << len(rows)) - 1
        keys = sorted(wants, key=lambda key: -len(wants[key]))  # what most ask leaves fewest
        dials = {key: _DIALS[key.look](key, every, wants[key]) for key in keys}
        self._of_event = [dial.turn for key, dial in dials.items() if key.root == "event"]
        self._of_user = [dial.turn for key, dial in dials.items() if key.root == "user"]
        self._of_cohorts = [dial.turn for key, dial in dials.items() if key.root == "cohorts"]
        inexact = {place for dial in dials.values() for place in dial.inexact}
        self._exact = [row.exact and place not in inexact for place, row in enumerate(rows)]

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
        for turn in self._of_user if user is not None else ():
            mask &= turn(user)
        for turn in self._of_cohorts:
            mask &= turn(cohorts)
        for place in list_bits(mask):
            slot = self.slots[place]
            found[slot] = self._exact[place] or found.get(slot, False)
