"""Repairs of streaks: an event of Fillip's own that asks to count a missed day as if it had been met. Pure."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal

from msgspec import Meta, Struct

from fillip.core.by_hand import read_order
from fillip.core.errors import Unreadable
from fillip.core.local_day import FIRST_DAY, LAST_DAY

REPAIR = "fillip.repair"
"""The action of an event that asks to repair a streak."""
REPAIR_SCHEMA: dict[str, object] = {"type": "object"}
"""Rules read nothing of it: its data is read by `read_repair`."""

_FIRST_AHEAD = timedelta(hours=14)
"""UTC+14: nowhere is a day earlier."""

RepairRefusal = Literal[
    "no_instance",
    "already_repaired",
    "instance_over",
    "no_streak",
    "step_not_waiting",
    "outside_window",
    "day_not_over",
    "too_far_back",
    "already_counted",
    "joins_nothing",
    "no_value",
]
"""Why a day is not repaired; nothing of the instance is changed then. `no_value`: it would complete the quest, and a reward's value follows
from the event that does so."""


class RepairOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked for: the day (of weeks any of them) that a streak has missed, of which step of which instance, why, and by which key
    (None: not told). `occurrence` None is the newest of the instances with that key.
    """

    campaign_id: Annotated[str, Meta(min_length=1, max_length=63)]
    step: Annotated[str, Meta(min_length=1, max_length=100)]
    day: date
    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    instance_key: Annotated[str, Meta(max_length=400)] = ""
    occurrence: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    by: Annotated[str, Meta(max_length=100)] | None = None

    @property
    def clock_at(self) -> datetime:
        """What the clock of a history showed when the day began, wherever it began first: a repair comes as if on that day."""
        return datetime.combine(self.day, time(), UTC) - _FIRST_AHEAD


def read_repair(data: Mapping[str, object]) -> RepairOrder:
    """The order in the data of an event. Raises Unreadable."""
    order = read_order(data, RepairOrder)
    if not FIRST_DAY <= order.day <= LAST_DAY:
        raise Unreadable("schema_violation", "must lie between the years 1970 and 9998", at="/day")
    return order
