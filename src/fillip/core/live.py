"""What campaigns decided hour by hour, of the last day: counted while it happens."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

HOURS = 24
"""Whole hours that are kept, besides the present one."""


class HourSums(Struct, array_like=True):
    """Decisions of a campaign made in one hour (UTC), and what was granted by them.

    `spend` is by kind and currency, "points:POINTS"; of a kind without a currency "badge:". Minor units, points, or the
    value of the incentive. `reversed` is what reversals took of that, whenever they did; only what is not 0.
    """

    granted: int = 0
    denied: int = 0
    spend: dict[str, int] = {}
    reversed: dict[str, int] = {}


class LiveHours(Struct, frozen=True):
    """The hours of a campaign in which it decided anything, by their start: all of them from `since` until `as_of`."""

    since: datetime
    as_of: datetime
    hours: Mapping[datetime, HourSums]


class SeenEvents(Struct, frozen=True):
    """How many events a campaign has seen of those settled until `as_of`, by the hour of receipt; of none in hours left out."""

    as_of: datetime
    hours: Mapping[datetime, int]
