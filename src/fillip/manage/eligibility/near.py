"""Near misses: which campaigns an event would meet with more of one amount, and what they would give then. Pure.

An amount is a number of the event's attributes. The index tells who lacks what; where it is not sure, the compiled rule is run with
the amount, and with one unit less. See core.index.near.
"""

from collections.abc import Mapping, Sequence, Set
from decimal import Decimal

from msgspec import Struct

from fillip.core.book.eligibility import EligibilityIndex, OpenSet
from fillip.core.book.version import CampaignVersion, Trigger
from fillip.core.errors import Unreadable
from fillip.core.event import Event
from fillip.core.index import Amount, Near, Path
from fillip.core.limit import LimitCharge
from fillip.core.match.candidate import is_barred
from fillip.core.match.price import price, reads_attributes
from fillip.core.rule import RuleError

MAX_NEAR = 1_000
"""Most rules that are looked at for what they lack, the nearest first."""


class NearMiss(Struct, frozen=True):
    """What a campaign lacks, and what a grant for the event with that would give and take."""

    campaign_version: CampaignVersion
    near: Near
    values: Sequence[int]
    charges: Sequence[LimitCharge]

    @property
    def missing(self) -> Amount:
        """The difference, as a person would write it: 7.2 is missing to 50.0 where there is 42.8."""
        if isinstance(self.near.need, float):
            return float(Decimal(repr(self.near.need)) - Decimal(repr(float(self.near.have))))
        return self.near.need - self.near.have


class Amounts:
    """The event of a trial, with other amounts; each is made once."""

    def __init__(self, event: Event) -> None:
        self._event = event
        self._numbers = {number.path: number for number in event.book.actions[event.action].numbers}
        self._made: dict[tuple[Path, Amount], Event | None] = {}

    def read(self) -> dict[Path, Amount]:
        """What the event has; an attribute that it does not have is no amount to begin from."""
        found = ((path, _find(self._event.typed, path)) for path in self._numbers)
        return {path: amount for path, amount in found if amount is not None}

    def takes(self, path: Path, amount: Amount) -> bool:
        """Whether its action's schema takes the event with this amount."""
        return self._numbers[path].takes(amount) or self.put(path, amount) is not None

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


def _find(typed: Mapping[str, object], path: Path) -> Amount | None:
    found: object = typed
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, int | float) else None


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
    lacking = index.list_near(open_set, mine, event.typed, user, cohorts, amounts.read())
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
            if miss := _try(amounts, event, trigger, near, user or {}, cohorts, sure=sure):
                found.append(miss)
                break
    return found


def _may_earn(event: Event, trigger: Trigger, met: Set[str]) -> bool:
    version = trigger.campaign_version
    return version.campaign_id not in met and not version.is_shadow and not is_barred(event, version)


def _try(
    amounts: Amounts,
    event: Event,
    trigger: Trigger,
    near: Near,
    user: Mapping[str, object],
    cohorts: frozenset[str],
    *,
    sure: bool,
) -> NearMiss | None:
    """The near miss, if the rule holds with what is needed, and does not with one unit less, and its rewards have a value."""
    version = trigger.campaign_version
    if not amounts.takes(near.path, near.need):
        return None
    if sure and not reads_attributes(event, version):
        return _price(event, version, near, user, cohorts)
    more = amounts.put(near.path, near.need)
    if more is None:
        return None
    if not sure:
        less = amounts.put(near.path, near.less) if near.less > near.have else None  # at `have` it does not hold
        if not holds(trigger, more, user, cohorts) or (less and holds(trigger, less, user, cohorts)):
            return None
    return _price(more, version, near, user, cohorts)


def _price(
    event: Event, version: CampaignVersion, near: Near, user: Mapping[str, object], cohorts: frozenset[str]
) -> NearMiss | None:
    """What the campaign would give for the event; None where that is nothing."""
    try:
        found = price(event, version, user, cohorts)
    except RuleError:
        return None
    return None if found.refused else NearMiss(version, near, found.values, found.charges)


def holds(trigger: Trigger, event: Event, user: Mapping[str, object], cohorts: frozenset[str]) -> bool:
    """Whether a rule holds; an error is no match."""
    try:
        return bool(trigger.rule(event.typed, user, cohorts))
    except RuleError:
        return False
