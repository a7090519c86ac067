"""The index of the rules that look at one action's events: hashes of cells for what is selective, cells for the rest.

A clause that asks for a value of an attribute of which many values are asked (a shop, an article, a coupon) is kept in
the cells of that value alone: the events of other values never see it. `"x" in event.list` likewise.
"""

from collections.abc import Mapping, Sequence, Set
from itertools import chain

from fillip.core.index.cells import Cells, Read, Row, build_read
from fillip.core.index.clause import Choice, Clauses, Key, Members, Value, Want
from fillip.core.index.near import Amount, Near, Path, find_near
from fillip.core.named_list import NO_LISTS, Lists

MAX_PINS = 4
"""Most attributes that are hashed: each costs every event a look."""
MANY = 256
"""Fewer values than this do not make an attribute selective: one look at a wide bitmap costs less than a table more."""


class RuleIndex:
    """Finds which of the rules at slots 0, 1, … can be true for an event. Not to be changed once built."""

    def __init__(self, rules: Sequence[Clauses], lists: Lists = NO_LISTS) -> None:
        """About 10 µs a rule; `lists` are those that the rules read."""
        self.exact = [rule.exact for rule in rules]
        rows = [Row(slot, each.wants, each.exact) for slot, rule in enumerate(rules) for each in rule.each]
        values: dict[Key, set[Value]] = {}  # that rows ask of the event
        for key, want in chain.from_iterable(row.wants.items() for row in rows):
            if key.root == "event" and key.look != "set" and (asked := _list_values(want)):
                values.setdefault(key, set()).update(asked)
        keys = sorted((key for key in values if len(values[key]) >= MANY), key=lambda key: -len(values[key]))
        pins = {key: _Pin(key, lists) for key in keys[:MAX_PINS]}
        rest = []
        for row in rows:
            pin = next((pins[key] for key in pins if _list_values(row.wants.get(key))), None)
            if pin:
                pin.add(row)
            else:
                rest.append(row)
        self._pins = [pin for pin in pins.values() if pin.table]
        self._rest = Cells(rest, lists)
        self._slots = len(rules)

    @property
    def loose(self) -> Sequence[int]:
        """The slot of each row that is not hashed: `open_rows` has a bit for each of these, in their order."""
        return self._rest.slots

    def find(
        self, event: Mapping[str, object], user: Mapping[str, object] | None, cohorts: Set[str], open_rows: int = -1
    ) -> Mapping[int, bool]:
        """The slots whose rule may be true, with whether it is so for sure. Attributes as compiled rules take them.

        Every slot whose rule is true is found, but for rows of `loose` without their bit in `open_rows`. Where the
        user can't be read (None), what rules ask of it is left open, and `exact` is not to be relied on.
        """
        found: dict[int, bool] = {}
        try:
            if mask := open_rows & self._rest.every:
                self._rest.collect(found, mask, event, user, cohorts)
            for pin in self._pins:
                value = pin.read(event)
                for each in value if pin.many else (value,):
                    if (cells := pin.table.get(each)) is not None:
                        cells = cells if isinstance(cells, Cells) else pin.build(each)
                        cells.collect(found, cells.every, event, user, cohorts)
        except (KeyError, TypeError):  # not the attributes that the rules were checked against: let each rule see
            return dict.fromkeys(range(self._slots), False)
        return found

    def list_near(
        self,
        event: Mapping[str, object],
        user: Mapping[str, object] | None,
        cohorts: Set[str],
        amounts: Mapping[Path, Amount],
        open_rows: int = -1,
    ) -> Mapping[int, Sequence[Near]]:
        """The slots of which the event may miss the rule by one of `amounts` alone, which it has: see find_near.

        The rest as `find`; also slots whose rule is true by another clause. What a value of many that was hashed would have to be
        is not told.
        """
        found: dict[int, list[Near]] = {}
        try:
            for cells, mask in self._list_cells(event, open_rows):
                for slot, near in find_near(cells, mask, event, user, cohorts, amounts) if mask else ():
                    found.setdefault(slot, []).append(near)
        except (KeyError, TypeError):
            return {}
        return found

    def _list_cells(self, event: Mapping[str, object], open_rows: int) -> list[tuple[Cells, int]]:
        hashed = [(cells, cells.every) for pin in self._pins for cells in pin.find(event)]
        return [(self._rest, open_rows & self._rest.every), *hashed]


class _Pin:
    """The cells of each value of one attribute, built when the value is first met."""

    def __init__(self, key: Key, lists: Lists) -> None:
        self.key = key
        self.lists = lists
        self.table: dict[Value, Cells | list[Row]] = {}
        self.read: Read = build_read(key, lists)
        self.many = key.look == "members"

    def add(self, row: Row) -> None:
        """Keep a row under each of the values it asks for."""
        wants = {key: want for key, want in row.wants.items() if key != self.key}
        for value in _list_values(row.wants[self.key]):
            rows = self.table.setdefault(value, [])
            assert isinstance(rows, list)
            rows.append(Row(row.slot, wants, row.exact))

    def find(self, event: Mapping[str, object]) -> list[Cells]:
        """The cells of the value, or of each of the values, that an event has."""
        value = self.read(event)
        known = [each for each in (value if self.many else (value,)) if each in self.table]
        return [cells if isinstance(cells := self.table[each], Cells) else self.build(each) for each in known]

    def build(self, value: Value) -> Cells:
        """The cells of a value that was not met before."""
        rows = self.table[value]
        assert isinstance(rows, list)
        self.table[value] = cells = Cells(rows, self.lists)
        return cells


def _list_values(want: Want | None) -> frozenset[Value]:
    """The values of which an event must have one; empty where it need not, or where that is not all that is asked."""
    if isinstance(want, Choice) and want.inside:
        return want.values
    if isinstance(want, Members) and want.any_of is not None and not want.none_of:
        return want.any_of
    return frozenset()
