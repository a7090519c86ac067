"""Values of rewards that depend on the event: an expression, a percentage of it, or tiers of it. Exact, no floats."""

from collections.abc import Mapping, Set
from decimal import Context, Decimal
from typing import Literal

from msgspec import Struct

from fillip.core.rule import Rule, RuleError

MAX_VALUE = 10**12
"""Most that one reward may give, in minor units or points."""

Rounding = Literal["half_even", "half_up", "down", "up"]
"""To a whole unit: halves to the even one or away from zero, or all towards zero or away from it."""

_EXACT = Context(prec=60)  # 19 digits of an int times 10 of a percentage: nothing is lost before the rounding


class Tier(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """From `at_least` on: a fixed `value`, or `percent` of the expression."""

    at_least: int
    value: int | None = None
    percent: str | None = None


class Formula(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A value by `of`, a CEL expression that gives an int: itself, `percent` of it, or by the highest tier it reaches.

    `percent` is a decimal such as "2.5" and needs a `rounding`; below the lowest tier the value is 0; no value is
    above `max`.
    """

    of: str
    percent: str | None = None
    rounding: Rounding | None = None
    max: int | None = None
    tiers: tuple[Tier, ...] = ()

    def compute(self, amount: int) -> int:
        """The value where `of` gives `amount`; may be below 1, or above MAX_VALUE."""
        if not self.tiers:
            value = amount if self.percent is None else self._take_percent(amount, self.percent)
        elif tier := max((t for t in self.tiers if amount >= t.at_least), key=lambda t: t.at_least, default=None):
            value = self._take_percent(amount, tier.percent) if tier.percent is not None else tier.value or 0
        else:
            value = 0
        return value if self.max is None else min(value, self.max)

    def _take_percent(self, amount: int, percent: str) -> int:
        product = _EXACT.multiply(Decimal(amount), Decimal(percent)).scaleb(-2, _EXACT)
        return int(product.quantize(Decimal(1), f"ROUND_{(self.rounding or 'half_even').upper()}", _EXACT))


def evaluate(
    formula: Formula, rule: Rule, event: Mapping[str, object], user: Mapping[str, object], cohorts: Set[str]
) -> tuple[int, int]:
    """(what the expression gives, the value) for one event; `rule` is the compiled `of`. Raises RuleError."""
    amount = rule(event, user, cohorts)
    if not isinstance(amount, int):
        raise RuleError(f"the expression gives no int but {type(amount).__name__}")
    return amount, formula.compute(amount)
