"""How an event finds the open instances of a quest that it can count for, without looking at each.

Where the rules of all steps want one and the same attribute of `start` to equal something that the event tells
(`event.post == start.post`), the quest is routed by that attribute: an instance has a route, a hash of the attribute's
value, and an event finds it only by the same hash. What is left out could never have been met; what is found by a
collision is asked like any other.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from hashlib import blake2b

from msgspec import Struct

from fillip.core.campaign.campaign import CheckedExpression
from fillip.core.campaign.expression import name_path
from fillip.core.campaign.quest import Quest
from fillip.core.named_list import Lists
from fillip.core.rule import Node, Path, RuleError, compile_value, list_asked

EVERYWHERE = 0
"""The route of an instance that every event finds: of a quest that was not routed when it was opened."""


class Route(Struct, frozen=True):
    """`path` is the attribute of `start` that all steps ask for, `values` by step what it has to equal, in a list of one."""

    path: Path
    values: Sequence[Callable[..., list[object]]]

    def place(self, start: Mapping[str, object] | None) -> int:
        """The route of an instance, by the attributes as sent of the event that opened it."""
        value: object = start
        for name in self.path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return hash_route(self.path, value)

    def find(
        self, steps: Iterable[int], event: Mapping[str, object], user: Mapping[str, object], cohorts: Set[str]
    ) -> tuple[int, ...]:
        """The routes of the instances that an event can count for, given the steps that it meets."""
        found = set()
        for step in steps:
            try:
                (value,) = self.values[step](event, user, cohorts)
            except RuleError:  # so the whole rule is one, or false: no match with any instance
                continue
            found.add(hash_route(self.path, value))
        return tuple(sorted(found))


def build_route(quest: Quest, checked: Mapping[str, CheckedExpression], lists: Lists) -> Route | None:
    """The route of a quest by its checked rules; None where those of its steps have no attribute in common."""
    asked = list_asked_by_step(quest, checked)
    path = find_path(asked)
    return Route(path, [compile_value(each[path], lists) for each in asked]) if path else None


def list_asked_by_step(quest: Quest, checked: Mapping[str, CheckedExpression]) -> list[Mapping[Path, Node]]:
    """What the rule of each step wants attributes of `start` to equal."""
    rules = [checked[name_path("step", index)] for index in range(len(quest.steps))]
    return [list_asked(rule.code) if rule.uses_instance else {} for rule in rules]


def find_path(asked: Sequence[Mapping[Path, Node]]) -> Path | None:
    """The attribute that all steps ask for, the first such of the first step."""
    return next((path for path in asked[0] if all(path in each for each in asked)), None)


def hash_route(path: Path, value: object) -> int:
    """A number of 63 bits; values that compare as equal, 5 and 5.0 too, have the same. EVERYWHERE where it can't be told."""
    if value is None or isinstance(value, bool | str):
        text = f"{type(value).__name__} {value}"
    elif isinstance(value, int | float):
        try:
            text = f"number {float(value) + 0.0!r}"  # -0.0 is 0.0
        except OverflowError:
            return EVERYWHERE
    else:
        return EVERYWHERE
    digest = blake2b("\0".join((*path, text)).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) >> 1 or 1
