"""Near misses: which campaigns an event would meet with more of one amount, and what they would give then. Pure.

An amount is a number of the event's attributes. The index tells who lacks what; where it is not sure, the compiled rule is run with
the amount, and with one unit less. See core.index.near.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from decimal import Decimal

from msgspec import Struct

from fillip.core.book.eligibility import EligibilityIndex, OpenSet
from fillip.core.book.version import CampaignVersion, Trigger
from fillip.core.errors import Unreadable
from fillip.core.event import Event
from fillip.core.index import Amount, Near, Path
from fillip.core.limit import LimitCharge
from fillip.core.match.candidate import is_barred
from fillip.core.match.limit_charges import list_charges
from fillip.core.match.reward_values import value_rewards
from fillip.core.rule import RuleError
from fillip.core.schema.types import Kind, ObjectType, Scalar, derive_type

MAX_NEAR = 1_000
"""Most rules that are looked at for what they lack, the nearest first."""
_NUMBERS = (Kind.INT, Kind.DOUBLE)


class NearMiss(Struct, frozen=True):
    """What a campaign lacks, the event with that, and what a grant for it would give and take."""

    campaign_version: CampaignVersion
    near: Near
    event: Event
    values: Sequence[int]
    charges: Sequence[LimitCharge]

    @property
    def missing(self) -> Amount:
        """The difference, as a person would write it: 7.2 is missing to 50.0 where there is 42.8."""
        if isinstance(self.near.need, float):
            return float(Decimal(repr(self.near.need)) - Decimal(repr(float(self.near.have))))
        return self.near.need - self.near.have


def read_amounts(event: Event) -> dict[Path, Amount]:
    """The numbers among an event's attributes; those that it does not have are no amounts to begin from."""
    return dict(_list_amounts(derive_type(event.book.actions[event.action].schema), event.typed, ()))


def _list_amounts(shape: ObjectType, typed: Mapping[str, object], above: Path) -> Iterator[tuple[Path, Amount]]:
    for field in shape.fields:
        value = typed[field.name]
        if isinstance(field.type, Scalar) and field.type.kind in _NUMBERS and isinstance(value, int | float):
            yield (*above, field.name), value
        elif isinstance(field.type, ObjectType) and isinstance(value, Mapping):
            yield from _list_amounts(field.type, value, (*above, field.name))


class Amounts:
    """The event of a trial, with other amounts; each is made once."""

    def __init__(self, event: Event) -> None:
        self._event = event
        self._made: dict[tuple[Path, Amount], Event | None] = {}

    def put(self, path: Path, amount: Amount) -> Event | None:
        """The event with this amount; None where its action's schema refuses that."""
        known = path, amount
        if known not in self._made:
            self._made[known] = self._make(path, amount)
        return self._made[known]

    def _make(self, path: Path, amount: Amount) -> Event | None:
        event = self._event
        attributes = _put(event.attributes, path, amount)
        try:
            typed = event.book.actions[event.action].read(attributes, event.occurred_at)
        except Unreadable:
            return None
        return event.change(attributes, typed)


def _put(attributes: Mapping[str, object], path: Path, amount: Amount) -> dict[str, object]:
    name, *below = path
    inner = attributes.get(name)
    changed: object = _put(inner, tuple(below), amount) if below and isinstance(inner, Mapping) else amount
    return {**attributes, name: changed}


def find_near_misses(
    amounts: Amounts,
    event: Event,
    index: EligibilityIndex,
    open_set: OpenSet,
    mine: Set[str],
    user: Mapping[str, object] | None,
    cohorts: frozenset[str],
    met: Set[str],
) -> list[NearMiss]:
    """The near misses, of what the event has not `met`.

    `mine` are of the user's cohorts those campaigns are for; `user` is None where the attributes can't be read. Of a campaign it is
    what is nearest by its part of what is needed.
    """
    lacking = index.list_near(open_set, mine, event.typed, user, cohorts, read_amounts(event))
    if user is None:
        lacking = [each for each in lacking if not each[0].uses_user]
    simple = [
        (trigger, sorted(nears, key=lambda near: near.distance), sure)
        for trigger, nears, sure in lacking
        if trigger.expression.kind == "rule" and _may_earn(event, trigger, met)
    ]
    if len(simple) > MAX_NEAR:
        simple = sorted(simple, key=lambda each: each[1][0].distance)[:MAX_NEAR]
    found = []
    for trigger, nears, sure in simple:
        for near in nears:
            if miss := _try(amounts, trigger, near, user or {}, cohorts, sure=sure):
                found.append(miss)
                break
    return found


def _may_earn(event: Event, trigger: Trigger, met: Set[str]) -> bool:
    version = trigger.campaign_version
    return version.campaign_id not in met and not version.is_shadow and not is_barred(event, version)


def _try(
    amounts: Amounts,
    trigger: Trigger,
    near: Near,
    user: Mapping[str, object],
    cohorts: frozenset[str],
    *,
    sure: bool,
) -> NearMiss | None:
    """The near miss, if the rule holds with what is needed, and does not with one unit less, and its rewards have a value."""
    event = amounts.put(near.path, near.need)
    if event is None:
        return None
    if not sure:
        less = amounts.put(near.path, near.less) if near.less > near.have else None  # at `have` it does not hold
        if not holds(trigger, event, user, cohorts) or (less and holds(trigger, less, user, cohorts)):
            return None
    return build_near_miss(event, trigger.campaign_version, near, user, cohorts)


def build_near_miss(
    event: Event,
    campaign_version: CampaignVersion,
    near: Near,
    user: Mapping[str, object],
    cohorts: frozenset[str],
) -> NearMiss | None:
    """What the campaign would give for the event that has what is needed; None where that is nothing."""
    worth = value_rewards(event, campaign_version, user, cohorts)
    if worth.refused:
        return None
    try:
        charges = list_charges(event, campaign_version, worth.values, user, cohorts)
    except RuleError:
        return None
    return NearMiss(campaign_version, near, event, worth.values, charges)


def holds(trigger: Trigger, event: Event, user: Mapping[str, object], cohorts: frozenset[str]) -> bool:
    """Whether a rule holds; an error is no match."""
    try:
        return bool(trigger.rule(event.typed, user, cohorts))
    except RuleError:
        return False
