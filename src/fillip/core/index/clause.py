"""A rule as alternatives (clauses) of what each asks of single attributes (wants), in a form that can be looked up."""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from msgspec import Struct

Root = Literal["event", "user", "cohorts"]
Value: TypeAlias = Any  # bool, int, float, str or None; of one attribute all of one type, or None


class Key(Struct, frozen=True, gc=False):
    """What is looked at: the value at `path`, whether it is `set` (has()), its `order`, or the `members` of a list.

    `listed`: whether the value is in the named list `among`.
    """

    look: Literal["value", "set", "order", "members", "listed"]
    root: Root
    path: tuple[str, ...]
    among: str = ""

    def __str__(self) -> str:
        return ".".join((self.root, *self.path))


class Choice(Struct, frozen=True, gc=False):
    """The value is one of `values` (`inside`), or is none of them. Null is a value like any other."""

    values: frozenset[Value]
    inside: bool = True

    def meet(self, other: "Choice") -> "Choice":
        """What both ask."""
        if self.inside and other.inside:
            return Choice(self.values & other.values)
        if not self.inside and not other.inside:
            return Choice(self.values | other.values, False)
        asked, barred = (self, other) if self.inside else (other, self)
        return Choice(asked.values - barred.values)

    @property
    def empty(self) -> bool:
        """Whether no value will do."""
        return self.inside and not self.values


class Bound(Struct, frozen=True, gc=False):
    """One end of a range; `included` tells whether `value` itself lies inside."""

    value: Value
    included: bool


class Range(Struct, frozen=True, gc=False):
    """The value lies between the bounds (None: open). Null never does; not a number does only where `nan` is set."""

    low: Bound | None = None
    high: Bound | None = None
    nan: bool = False

    def meet(self, other: "Range") -> "Range":
        """What both ask."""
        lows = [r.low for r in (self, other) if r.low]
        highs = [r.high for r in (self, other) if r.high]
        low = max(lows, key=lambda bound: (bound.value, not bound.included), default=None)
        high = min(highs, key=lambda bound: (bound.value, bound.included), default=None)
        return Range(low, high, self.nan and other.nan)

    @property
    def empty(self) -> bool:
        """Never: bounds that cross are found to hold nothing when they are looked up."""
        return False

    @property
    def crossed(self) -> bool:
        """Whether nothing lies between the bounds; whole numbers of which none does are not told apart."""
        if self.low is None or self.high is None or self.nan:
            return False
        low, high = self.low.value, self.high.value
        return bool(low > high or (low == high and not (self.low.included and self.high.included)))


class Members(Struct, frozen=True, gc=False):
    """The list holds one of `any_of` (None: whatever), and none of `none_of`."""

    any_of: frozenset[Value] | None = None
    none_of: frozenset[Value] = frozenset()

    def meet(self, other: "Members") -> "Members | None":
        """What both ask; None where that takes two looks, since each wants a member of its own."""
        if self.any_of is not None and other.any_of is not None and self.any_of != other.any_of:
            return None
        any_of = other.any_of if self.any_of is None else self.any_of
        return Members(any_of, self.none_of | other.none_of)

    @property
    def empty(self) -> bool:
        """Whether no list will do."""
        return self.any_of is not None and self.any_of <= self.none_of


Want: TypeAlias = Choice | Range | Members


class Clause(Struct, frozen=True, gc=False):
    """One alternative: all wants must be met. `exact` where that is all it asks, else there is more to it."""

    wants: Mapping[Key, Want]
    exact: bool = True

    def meet(self, other: "Clause") -> "Clause | None":
        """What both ask; None where no event can meet both."""
        wants, exact = dict(self.wants), self.exact and other.exact
        for key, want in other.wants.items():
            met = wants[key].meet(want) if key in wants else want  # type: ignore[arg-type]
            if met is None:
                exact = False
            elif met.empty:
                return None
            else:
                wants[key] = met
        return Clause(wants, exact)

    def name_conflict(self) -> Key | None:
        """What is asked to lie above and below bounds that leave nothing between them; None where all can be met."""
        return next((key for key, want in self.wants.items() if isinstance(want, Range) and want.crossed), None)


class Leftover(Struct, frozen=True, gc=False):
    """A part of a rule that can't be looked up; `offset` is its place in the source, in code points."""

    offset: int
    reason: str


class Clauses(Struct, frozen=True, gc=False):
    """The rule is true exactly when one of `each` is met, or, with `leftovers`, only then."""

    each: tuple[Clause, ...]
    leftovers: tuple[Leftover, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether the rule need not run: what is met is all there is. An error anywhere else is no match either."""
        return not self.leftovers and all(clause.exact for clause in self.each)

    def explain_never(self) -> str | None:
        """Why no event can meet the rule; None where one may."""
        conflicts = [clause.name_conflict() for clause in self.each]
        if not all(conflicts):
            return None
        return f"nothing lies between the bounds for {conflicts[0]}" if conflicts else "what it asks excludes itself"

    @property
    def keys(self) -> frozenset[Key]:
        """What every alternative looks at, or, where they differ, what any does; empty where one asks for nothing."""
        if not all(clause.wants for clause in self.each):
            return frozenset()
        return frozenset(key for clause in self.each for key in clause.wants)
