"""Ladders: the levels of a currency of points, by what a user earned of it in a window. How users move on them: migrations/versions/0043_level_moved.sql."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from fillip.core.problem import Fault
from fillip.core.schema.reader import find_faults
from fillip.core.schema.types import Kind, Scalar, derive_type

LadderSpan = Literal["month", "year", "rolling", "lifetime"]
DAY_S = 86_400
MIN_ROLLING_S, MAX_ROLLING_S = DAY_S, 366 * DAY_S
MAX_LEVELS, MAX_THRESHOLD = 20, 2**53


class Level(Struct, frozen=True):
    """A level, and the points that are to be earned in the window to have it."""

    name: str
    threshold: int


def check_ladder(span: LadderSpan, rolling_s: int | None, levels: Sequence[Level]) -> list[Fault]:
    """What is wrong with a ladder whose parts are each right by themselves."""
    return [*_check_window(span, rolling_s), *_check_levels(levels)]


def check_attribute(user_schema: Mapping[str, object], attribute: str, levels: Sequence[Level]) -> list[Fault]:
    """Why users can't have these levels in an attribute, by the tenant's user schema."""
    declared = {field.name: field.type for field in derive_type(user_schema).fields}
    if (kind := declared.get(attribute)) is None:
        return [
            Fault(
                "/attribute",
                f"the user schema has no attribute '{attribute}': declare it as a string in PATCH /v1/tenant",
            )
        ]
    if not isinstance(kind, Scalar) or kind.kind is not Kind.STRING:
        return [Fault("/attribute", f"'{attribute}' is no text in the user schema: a level is one")]
    open_schema = {**user_schema, "required": []}
    found = [(index, find_faults(open_schema, {attribute: level.name})) for index, level in enumerate(levels)]
    return [
        Fault(f"/levels/{index}/name", f"as '{attribute}' of a user: {faults[0].message}")
        for index, faults in found
        if faults
    ]


def _check_window(span: LadderSpan, rolling_s: int | None) -> Iterator[Fault]:
    if (span == "rolling") != (rolling_s is not None):
        word = "needs rolling_s: how many seconds its window has" if span == "rolling" else "has no rolling_s"
        yield Fault("/rolling_s", f"span '{span}' {word}")
    elif rolling_s is not None and rolling_s % DAY_S:
        yield Fault("/rolling_s", f"must be whole days of {DAY_S:,} seconds: what is earned is added up by days")


def _check_levels(levels: Sequence[Level]) -> Iterator[Fault]:
    if levels[0].threshold:
        yield Fault("/levels/0/from", "the lowest level is from 0: so every user has one")
    names: dict[str, int] = {}
    for index, level in enumerate(levels):
        first = names.setdefault(level.name, index)
        if first != index:
            yield Fault(f"/levels/{index}/name", f"'{level.name}' is the name of /levels/{first} already")
        if index and level.threshold <= levels[index - 1].threshold:
            yield Fault(
                f"/levels/{index}/from", "must be more than that of the level before: the lowest level comes first"
            )
