"""sum, min, max and distinct as docs/reference/rules.md tells them, for Google's CEL library, which has none: the other side of the fuzz."""

from collections.abc import Callable, Sequence
from typing import Any

from cel_expr_python import cel


def _add(items: Sequence[Any]) -> Any:
    total = 0
    for item in items:
        total = total + item
    if isinstance(total, int) and not -(2**63) <= total < 2**63:
        raise ValueError("overflow")
    return total


def _choose(items: Sequence[Any], is_better: Callable[[Any, Any], bool]) -> Any:
    best, *others = items
    for other in others:
        if is_better(other, best):
            best = other
    if best is None:
        raise ValueError("null")
    return best


def _find_distinct(items: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if item is None:
            raise ValueError("null")
        if not any(item == other for other in found):
            found.append(item)
    return found


def _declare(name: str, function: Callable[[Sequence[Any]], Any]) -> cel.FunctionDecl:
    given: dict[str, Any] = {"return_type": cel.Type.DYN, "parameters": [cel.Type.List(cel.Type.DYN)], "impl": function}
    return cel.FunctionDecl(
        name, [cel.Overload(f"{name}_{style}", is_member=style, **given) for style in (False, True)]
    )


FUNCTIONS = [
    _declare("sum", _add),
    _declare("min", lambda items: _choose(items, lambda one, other: bool(one < other))),
    _declare("max", lambda items: _choose(items, lambda one, other: bool(one > other))),
    _declare("distinct", _find_distinct),
]
"""Without types: the sum of no doubles is an int here, so give it one at least."""
