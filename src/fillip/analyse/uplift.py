"""What a campaign brings: groups that chance has made, compared, with 95 % intervals. Pure.

Formulas: the interval of a share by Wilson (1927), JASA 22, 209-212; of the difference of two shares by Newcombe (1998),
Statistics in Medicine 17, 873-890, method 10, which puts two Wilson intervals together; of the difference of two means by
Welch (1947), Biometrika 34, 28-35, with the quantile of Student's t by Abramowitz and Stegun, 26.7.5.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import combinations
from math import sqrt
from statistics import NormalDist
from typing import Literal

from msgspec import Struct

from fillip.analyse.spend import Spend

Z = NormalDist().inv_cdf(0.975)
FEW_USERS, FEW_CONVERTED = 30, 5
"""With fewer users in a group no interval of values is told; with fewer who did it, or did not, shares are told with a note."""
Place = Literal["holdout", "control", "offered"]
PLACES: Sequence[Place] = ("holdout", "control", "offered")


class UpliftQuestion(Struct, frozen=True):
    """Who met the campaign on days `first`..`last` of the tenant's calendar, and what of `action` they did within
    `window_days` after they first had. `path` is the JSON path of the number in those events, None: they are only counted.
    """

    tenant_id: str
    campaign_id: str
    action: str
    path: str | None
    first: date
    last: date
    window_days: int


class Measured(Struct, frozen=True):
    """What the users of one group did: how many `converted`, and the value of each user, those who did nothing as 0."""

    place: Place
    variant: str | None
    users: int
    converted: int
    mean: float
    variance: float

    @property
    def name(self) -> str:
        """`holdout`, `offered`, or `variant:` and its id."""
        return self.place if self.variant is None else f"variant:{self.variant}"

    @property
    def share(self) -> float:
        """Of the users, those who converted."""
        return self.converted / self.users


class UpliftGroup(Struct, frozen=True):
    """Users who met the campaign: kept out by the holdout, of a control, or offered it (whether or not they were granted).

    `converted` did the action at least once in their window; `mean_value` is per user, null where no value was asked for.
    `spend` is what the ledger says the campaign gave in those days.
    """

    group: str
    place: Place
    users: int
    converted: int
    conversion: float
    mean_value: float | None
    spend: Sequence[Spend]


class Difference(Struct, frozen=True):
    """What a group has more than another, and the bounds between which it lies with 95 % confidence."""

    difference: float
    low: float
    high: float


class Comparison(Struct, frozen=True):
    """`group` less `against`: in conversion, and in value per user. `notes` say what can't be concluded."""

    group: str
    against: str
    conversion: Difference
    value: Difference | None
    notes: Sequence[str]


class Uplift(Struct, frozen=True):
    """Groups in the order holdout, controls, offered; each pair of them compared."""

    groups: Sequence[UpliftGroup]
    comparisons: Sequence[Comparison]


def compare(measured: Sequence[Measured], spend: Mapping[str | None, Sequence[Spend]], *, with_value: bool) -> Uplift:
    """The report of groups that each have a user; `spend` by variant, None: of a campaign without."""
    ordered = sorted(measured, key=lambda each: (PLACES.index(each.place), each.name))
    groups = [
        UpliftGroup(
            each.name,
            each.place,
            each.users,
            each.converted,
            each.share,
            each.mean if with_value else None,
            spend.get(each.variant, ()) if each.place == "offered" else (),
        )
        for each in ordered
    ]
    return Uplift(groups, [_compare(b, a, with_value=with_value) for a, b in combinations(ordered, 2)])


def _compare(one: Measured, other: Measured, *, with_value: bool) -> Comparison:
    shares = compare_shares(one, other)
    values = compare_means(one, other) if with_value else None
    notes = list(_list_notes(one, other, shares, values, with_value=with_value))
    return Comparison(one.name, other.name, shares, values, notes)


def _list_notes(
    one: Measured, other: Measured, shares: Difference, values: Difference | None, *, with_value: bool
) -> Iterator[str]:
    seldom = min(min(each.converted, each.users - each.converted) for each in (one, other))
    if min(one.users, other.users) < FEW_USERS or seldom < FEW_CONVERTED:
        yield "few users, or few who did it or did not: wait for more before you conclude anything"
    if shares.low <= 0 <= shares.high:
        yield "no difference in conversion is shown: its interval includes 0"
    if with_value and values is None:
        yield f"no interval of values: a group has fewer than {FEW_USERS} users, or all values are the same"
    elif values and values.low <= 0 <= values.high:
        yield "no difference in value is shown: its interval includes 0"


def bound_share(converted: int, users: int) -> tuple[float, float]:
    """Wilson's interval of a share: between 0 and 1, `users` at least 1."""
    share, z2 = converted / users, Z * Z
    middle, scale = share + z2 / (2 * users), 1 + z2 / users
    half = Z * sqrt(share * (1 - share) / users + z2 / (4 * users * users))
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def compare_shares(one: Measured, other: Measured) -> Difference:
    """Newcombe's interval of the difference of two independent shares."""
    (low, high), (other_low, other_high) = (bound_share(each.converted, each.users) for each in (one, other))
    difference = one.share - other.share
    below = sqrt((one.share - low) ** 2 + (other_high - other.share) ** 2)
    above = sqrt((high - one.share) ** 2 + (other.share - other_low) ** 2)
    return Difference(difference, difference - below, difference + above)


def compare_means(one: Measured, other: Measured) -> Difference | None:
    """Welch's interval of the difference of two means; None where users are too few, or values do not vary at all."""
    errors = [each.variance / each.users for each in (one, other)]
    if min(one.users, other.users) < FEW_USERS or not sum(errors):
        return None
    freedom = sum(errors) ** 2 / sum(
        error**2 / (each.users - 1) for error, each in zip(errors, (one, other), strict=True)
    )
    difference, half = one.mean - other.mean, find_quantile(freedom) * sqrt(sum(errors))
    return Difference(difference, difference - half, difference + half)


def find_quantile(freedom: float) -> float:
    """The 97.5 % quantile of Student's t, to 0.001 from 10 degrees of freedom on."""
    first = (Z**3 + Z) / (4 * freedom)
    second = (5 * Z**5 + 16 * Z**3 + 3 * Z) / (96 * freedom**2)
    return Z + first + second + (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / (384 * freedom**3)
