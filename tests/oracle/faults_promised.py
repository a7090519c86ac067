"""Planted faults of dates of rewards, of limits of pools, and of what limits have left: see tests.oracle.faults."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from msgspec.structs import replace

from fillip.core.book import book
from fillip.core.campaign import period_end
from fillip.core.campaign.reward import Reward
from fillip.core.event import Event
from fillip.core.ledger import reversal, settlement
from fillip.core.limit import Limit, LimitCharge, cut
from fillip.core.match import limit_charges
from fillip.settle import rows
from tests.oracle.focus import Focus
from tests.oracle.planting import Fault, Plant, plant_attribute

PROMISED = Focus(("month", "later"), clock="live")
CODES = Focus(("codes", "any"), {"codes": (1, 2, 4)}, ("take_back",))
CUT = Focus(("codes",), {"budget": (100, 170)})

_charge, _choose_limits, _measure_credit = limit_charges._charge, book._choose_limits, reversal._measure_credit
_find_available, _RewardValue = Reward.find_available, rows._RewardValue


def _charge_one(event: Event, limit: Limit, *rest: Any) -> LimitCharge:
    """A grant is one, however many codes it gives."""
    return _charge(event, replace(limit, pool=None), *rest)


def _choose_for_all(
    campaign_id: str, rewards: Iterable[Reward], by_campaign: Mapping[str | None, list[Limit]]
) -> tuple[Limit, ...]:
    """A limit of a pool counts whatever gives none of its codes too."""
    apart = {key: [replace(limit, pool=None) for limit in limits] for key, limits in by_campaign.items()}
    return _choose_limits(campaign_id, rewards, apart)


def _credit_one(use: Any, *rest: Any) -> int:
    """A grant that is taken back gives one code back."""
    return min(1, _measure_credit(use, *rest))


def _credit_with_its_code(use: Any, terms: Any, grant: Any, so_far: Any) -> int:
    """Of a grant that has lost a code the limit gets its use back, whatever else is left of it."""
    kinds = {each.kind for each in grant.incentives if reversal.reach(each, grant, so_far)[1]}
    return use.amount if "coupon" in kinds else _measure_credit(use, terms, grant, so_far)


def _cut_first(charges: Sequence[LimitCharge], *rest: Any) -> tuple[Sequence[LimitCharge], Sequence[int]]:
    """The first rewards give up first."""
    return cut([replace(each, counted=each.counted and each.counted[::-1]) for each in charges], *rest)


def _last(period: str, wrong: object) -> Plant:
    lasts: Any = period_end._LASTS
    return lambda patch: patch.setitem(lasts, period, wrong)


FAULTS_PROMISED = [
    Fault("a month of thirty days", _last("month", lambda day, after: day + timedelta(30 * (after + 1))), PROMISED),
    Fault(
        "a month that ends with its event's day of a later one",
        _last("month", lambda day, after: day + timedelta(after and 30)),
        PROMISED,
    ),
    Fault(
        "a year that ends with the one before",
        _last("year", lambda day, after: date(day.year + max(after - 1, 0), 12, 31)),
        PROMISED,
    ),
    Fault(
        "points that can be spent before their month is over",
        plant_attribute(Reward, "find_available", lambda self, *said: None),
        PROMISED,
    ),
    Fault(
        "points available by the month in UTC",
        plant_attribute(Reward, "find_available", lambda self, at, zone, own: _find_available(self, at, "UTC", own)),
        PROMISED,
    ),
    Fault("a limit of a pool that counts grants", plant_attribute(limit_charges, "_charge", _charge_one), CODES),
    Fault(
        "a limit of a pool for what gives no codes",
        plant_attribute(book, "_choose_limits", _choose_for_all),
        CODES,
    ),
    Fault("one code given back of two", plant_attribute(reversal, "_measure_credit", _credit_one), CODES),
    Fault(
        "codes given back while something of the grant is left",
        plant_attribute(reversal, "_measure_credit", _credit_with_its_code),
        CODES,
    ),
    Fault("a cut that is not told", plant_attribute(rows, "_RewardValue", lambda *said: _RewardValue(*said[:3])), CUT),
    Fault("the first rewards give up what is left", plant_attribute(settlement, "cut", _cut_first), CUT),
]
