"""What rewards are worth for one event, in the reference model, as docs/guide/campaigns.md tells it."""

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from math import ceil, floor
from typing import Any

from tests.oracle.cel import RuleFails, evaluate
from tests.oracle.claim import Document
from tests.oracle.own_events import find_action

MOST = 10**12


def appraise(
    definition: Document, variant: str | None, action: str, roots: Mapping[str, Any]
) -> tuple[tuple[Document, ...], str | None]:
    """The rewards that a variant gets, each with its `index` and the value that it has for an event, and why they can't be
    granted, if so.
    """
    rewards, reasons = [], []
    for index, written in enumerate(definition["rewards"]):
        if "variants" in definition and variant not in written.get("variants", [variant]):
            continue
        reward = {**written, "index": index}
        if (formula := reward.get("formula")) and action in _list_granting(definition):
            value, reason = _compute(formula, roots)
            reward = {**reward, "value": value}
            reasons += [reason] if reason else []
        rewards.append(reward)
    return tuple(rewards), reasons[0] if reasons else None


def _list_granting(definition: Document) -> Iterator[str]:
    """The actions whose events may earn the rewards."""
    if "quest" not in definition:
        yield find_action(definition)
        return
    steps = definition["quest"]["steps"]
    yield from (step["action"] for step in (steps[-1:] if definition["quest"].get("ordered", True) else steps))


def _compute(formula: Document, roots: Mapping[str, Any]) -> tuple[int, str | None]:
    try:
        amount = evaluate(formula["of"], **roots)
    except RuleFails:
        return 0, "value_error"
    tiers = sorted((tier for tier in formula.get("tiers", []) if amount >= tier["at_least"]), key=_read_threshold)
    if tiers:
        value = _take(amount, tiers[-1], formula)
    else:
        value = 0 if formula.get("tiers") else _take(amount, formula, formula)
    value = min(value, formula.get("max", value))
    return value, "no_value" if value <= 0 else "value_too_large" if value > MOST else None


def _read_threshold(tier: Document) -> int:
    return int(tier["at_least"])


def _take(amount: int, part: Document, formula: Document) -> int:
    """A fixed value, a percentage of the amount, or the amount itself."""
    if "percent" not in part:
        return int(part.get("value", amount))
    return _round(amount * Fraction(part["percent"]) / 100, formula.get("rounding", "half_even"))


_ROUNDED: dict[str, Callable[[Fraction], int]] = {
    "half_even": round,
    "half_up": lambda each: floor(each + Fraction(1, 2)),
    "down": floor,
    "up": ceil,
}


def _round(exact: Fraction, rounding: str) -> int:
    size = _ROUNDED[rounding](abs(exact))
    return size if exact > 0 else -size
