"""What the tenant owes its users in points: as of an instant, and how it became so."""

from datetime import datetime

from msgspec import Struct


class LiabilityQuestion(Struct, frozen=True):
    """Of one tenant, what was made after `begin` up to `end`, and included; up to `count` currencies after `after`."""

    tenant_id: str
    begin: datetime
    end: datetime
    count: int
    after: str


class Liability(Struct, frozen=True):
    """Points of one currency that users hold at an instant, by all transfers made by then.

    `outstanding` is `pending` and `active` together. What users owe after reversals is taken off `active`.
    """

    currency: str
    pending: int
    active: int
    outstanding: int


class LiabilityMovement(Struct, frozen=True):
    """How the outstanding points of one currency went from `opening` to `closing`.

    `closing` = `opening` + `granted` + `adjusted` + `refunded` - `spent` - `expired` - `reversed`. Only `adjusted`, which is
    by hand, may be below zero, and what is outstanding, where users owe more than they hold.
    """

    currency: str
    opening: int
    granted: int
    adjusted: int
    refunded: int
    spent: int
    expired: int
    reversed: int
    closing: int
