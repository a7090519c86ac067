"""What a grant's rewards are worth for one event."""

from collections.abc import Mapping, Set
from typing import Literal

from msgspec import Struct

from fillip.core.book.version import Entry
from fillip.core.campaign.campaign import name_formula
from fillip.core.campaign.formula import MAX_VALUE, evaluate
from fillip.core.event import Event
from fillip.core.rule import RuleError

NoWorth = Literal["value_error", "no_value", "value_too_large", "expired"]
"""Why there can be no grant: a formula fails, gives nothing, or more than MAX_VALUE; or a reward is past its date."""


class Appraisal(Struct, frozen=True):
    """The value of each reward (0 where a formula failed), and why they can't be granted, if so."""

    values: tuple[int, ...]
    refused: NoWorth | None = None


def appraise(event: Event, entry: Entry, user: Mapping[str, object], cohorts: Set[str]) -> Appraisal:
    """Evaluate the formulas of a campaign's rewards, and whether they can still be claimed, once for the whole grant.

    It is refused whole or not at all: where one of its rewards had expired already when the broker took the event, nothing
    is given.
    """
    worth = _evaluate(event, entry, user, cohorts)
    when = event.occurred_at, event.received_at, event.book.tenant.clock
    if worth.refused is None and any(reward.is_over(*when) for reward in entry.campaign.rewards):
        return Appraisal(worth.values, "expired")
    return worth


def _evaluate(event: Event, entry: Entry, user: Mapping[str, object], cohorts: Set[str]) -> Appraisal:
    """An event that can't complete the quest is not asked: its attributes may be of another type."""
    if not entry.formulas or event.action != entry.campaign.granting_action():
        return Appraisal(entry.values)
    values = list(entry.values)
    refused: NoWorth | None = None
    for index, formula in entry.formulas.items():
        try:
            values[index] = evaluate(formula, entry.rules[name_formula(index)], event.typed, user, cohorts)[1]
        except RuleError:
            refused = refused or "value_error"
            continue
        if not 0 < values[index] <= MAX_VALUE:
            refused = refused or ("no_value" if values[index] <= 0 else "value_too_large")
    return Appraisal(tuple(values), refused)
