"""What the tenant owes its users in points: as of an instant, by when it expires, and how it became so. Pure."""

from datetime import UTC, date, datetime, time
from math import gcd

from msgspec import Struct

from fillip.core.instant import MIN_TIME, find_zone

MONTHS = 600
"""So many are told one by one; what lasts beyond them is of no month."""
LATER = "later"
_SECOND_US = 1_000_000


class LiabilityQuestion(Struct, frozen=True):
    """Of one tenant, what was made after `begin` up to `end`, and included; up to `count` currencies after `after`."""

    tenant_id: str
    begin: datetime
    end: datetime
    count: int
    after: str


class Liability(Struct, frozen=True):
    """Points of one currency that users hold at an instant, by all transfers made by then.

    `outstanding` is `pending`, `active` and `held` together: what a checkout holds is not spent. What users owe after reversals is taken off `active`.
    """

    currency: str
    pending: int
    active: int
    held: int
    outstanding: int


class LiabilityMovement(Struct, frozen=True):
    """How the outstanding points of one currency went from `opening` to `closing`.

    `closing` = `opening` + `granted` + `adjusted` + `imported` + `refunded` - `spent` - `expired` - `reversed`. Only `adjusted`,
    which is by hand, may be below zero, and what is outstanding, where users owe more than they hold.
    """

    currency: str
    opening: int
    granted: int
    adjusted: int
    imported: int
    refunded: int
    spent: int
    expired: int
    reversed: int
    closing: int


class ExpiryQuestion(Struct, frozen=True):
    """Of one tenant, what was outstanding at `at`, up to `count` lines after (currency, expires).

    A lot expires in the month of its last moment: `months` are the names of those behind `at`, and `begins_us` when each begins, in
    µs since 1970, the last of both being LATER. All of these are multiples of `span_us`.
    """

    tenant_id: str
    at: datetime
    months: list[str]
    begins_us: list[int]
    span_us: int
    count: int
    after_currency: str
    after_expires: str


class LiabilityExpiry(Struct, frozen=True):
    """Points of one currency that users hold at an instant, and that expire in one month if nobody uses them.

    `expires` is a month of the tenant's calendar such as 2026-05, `later` (in more than 50 years), or `never`; or `held`: what holds
    keep from expiring until they end; or `unsettled`: what is outstanding without lying in a lot that lasts on, so that all lines of a currency add up to what is outstanding. Above 0 it
    is points whose time has come, until they are expired a moment later; below 0 what users owe after reversals, and what large
    spends are still to take out of lots.
    """

    currency: str
    expires: str
    outstanding: int


def ask_expiries(tenant_id: str, zone: str, at: datetime, count: int, after: tuple[str, str]) -> ExpiryQuestion:
    """The question for a tenant of this time zone."""
    months, begins_us = [], []
    first = at.astimezone(find_zone(zone)).date().replace(day=1)
    for number in range(first.month - 1, first.month + MONTHS):
        year = first.year + number // 12
        if year > MAX_YEAR:
            break
        month = date(year, number % 12 + 1, 1)
        months.append(f"{month:%Y-%m}")
        begins_us.append(_count_us(datetime.combine(month, time.min, find_zone(zone))))
    months[-1] = LATER
    span_us = gcd(*begins_us)
    return ExpiryQuestion(tenant_id, at, months, begins_us, span_us, count, *after)


MAX_YEAR = 9999


def _count_us(instant: datetime) -> int:
    return round((instant.astimezone(UTC) - MIN_TIME).total_seconds()) * _SECOND_US
