"""The triggers of one action, and which of them an event fires: schedule, cohort, rule."""

from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import datetime

from msgspec import Struct

from fillip.core.book.timeline import Interval, Timeline
from fillip.core.book.version import Trigger
from fillip.core.campaign.campaign import ScheduleReason
from fillip.core.cohort import Cohort, list_mine
from fillip.core.index import Amount, Near, Path, RuleIndex
from fillip.core.index.cells import set_bits

MAX_OPEN_SETS = 256
"""Most intervals of the timeline kept ready; 100 µs and 3 kB each for 10,000 campaigns."""

NONE: frozenset[str] = frozenset()


class OpenSet(Struct, frozen=True, eq=False):
    """Which triggers their schedules leave open, the same for all events within one interval of the timeline.

    `slots` is a bitmap in bytes, little end first; `rows` one over the index's loose rows. `refused` has the campaigns
    closed, by reason, each by the slot of its first trigger.
    """

    slots: bytes
    rows: int
    refused: tuple[tuple[ScheduleReason, int], ...]
    first: int
    uses_user: bool
    uses_cohorts: bool


class EligibilityIndex:
    """Triggers at slots 0, 1, …, with the index of their rules. Immutable except for its cache."""

    def __init__(self, triggers: Sequence[Trigger], time_zone: str) -> None:
        """About 10 µs a trigger, and 0.1 ms for each whose rule was not read before."""
        self.triggers = tuple(triggers)
        campaign_versions = [trigger.campaign_version for trigger in triggers]
        lists = {name: each for campaign_version in campaign_versions for name, each in campaign_version.lists.items()}
        self.index = RuleIndex([trigger.clauses for trigger in triggers], lists)
        self.targets = [frozenset(campaign_version.campaign.cohorts) for campaign_version in campaign_versions]
        self.targeted = sorted(frozenset[str]().union(*self.targets))
        schedules = [campaign_version.campaign.schedule for campaign_version in campaign_versions]
        self.all_stack = all(campaign_version.campaign.stackable for campaign_version in campaign_versions)
        self._timeline = Timeline(schedules, time_zone)
        self._rows_timeline = Timeline([schedules[slot] for slot in self.index.loose], time_zone)
        ids = [campaign_version.campaign_id for campaign_version in campaign_versions]
        self._first = self._mark(slot == 0 or ids[slot] != ids[slot - 1] for slot in range(len(ids)))
        self._users = self._mark(trigger.uses_user for trigger in triggers)
        self._cohorts = self._mark(trigger.uses_cohorts for trigger in triggers)
        self._by_cohort = {c: self._mark(c in targets for targets in self.targets) for c in ("", *self.targeted)}
        self._by_cohort[""] = self._mark(not targets for targets in self.targets)
        loose = [self.targets[slot] for slot in self.index.loose]
        self._rows_by_cohort = {c: self._mark(c in targets for targets in loose) for c in self.targeted}
        self._rows_by_cohort[""] = self._mark(not targets for targets in loose)
        self._open_sets: dict[Interval, OpenSet] = {}

    @staticmethod
    def _mark(flags: Iterable[bool]) -> int:
        return set_bits(place for place, flag in enumerate(flags) if flag)

    def open_at(self, instant: datetime) -> OpenSet:
        """What is open at an instant of event time."""
        interval = self._timeline.find_interval(instant)
        open_set = self._open_sets.get(interval)
        if open_set is None:
            if len(self._open_sets) >= MAX_OPEN_SETS:
                self._open_sets.clear()
            open_set = self._open_sets[interval] = self._open(interval, instant)
        return open_set

    def _open(self, interval: Interval, instant: datetime) -> OpenSet:
        waiting, ended, outside = self._timeline.tell(interval)
        slots = ((1 << len(self.triggers)) - 1) & ~(waiting | ended | outside)
        closed = sum(self._rows_timeline.tell(self._rows_timeline.find_interval(instant)))
        rows = ((1 << len(self.index.loose)) - 1) & ~closed
        refused: list[tuple[ScheduleReason, int]] = [
            ("not_started", waiting),
            ("ended", ended),
            ("outside_hours", outside),
        ]
        counted = tuple((reason, mask & self._first) for reason, mask in refused if mask)
        octets = slots.to_bytes(len(self.triggers) // 8 + 1, "little")
        return OpenSet(
            octets, rows, counted, slots & self._first, bool(slots & self._users), bool(slots & self._cohorts)
        )

    def list_mine(self, number: int | None, cohorts: Mapping[str, Cohort]) -> frozenset[str]:
        """The cohorts of a user of this number that campaigns are for."""
        return list_mine(number, cohorts, self.targeted) if self.targeted else NONE

    def list_outside(self, open_set: OpenSet, mine: Set[str]) -> int:
        """The open campaigns that want another cohort, each by the slot of its first trigger."""
        return open_set.first & ~_unite(self._by_cohort, mine)

    def find(
        self,
        open_set: OpenSet,
        mine: Set[str],
        event: Mapping[str, object],
        user: Mapping[str, object] | None,
        cohorts: Set[str],
    ) -> list[tuple[Trigger, bool]]:
        """The triggers that an event may fire, in their order, with whether it does for sure.

        Attributes as compiled rules take them; `user` is None where it can't be read, and nothing is sure that asks it.
        """
        triggers, exact = self.triggers, self.index.exact
        found = self.index.find(event, user, cohorts, self._open_rows(open_set, mine))
        slots: Iterable[int] = sorted(found) if len(found) > 1 else found
        if open_set.refused or self.targeted:
            slots = [slot for slot in slots if self._is_open(slot, open_set, mine)]
        return [(triggers[slot], found[slot] and exact[slot]) for slot in slots]

    def list_near(
        self,
        open_set: OpenSet,
        mine: Set[str],
        event: Mapping[str, object],
        user: Mapping[str, object] | None,
        cohorts: Set[str],
        amounts: Mapping[Path, Amount],
    ) -> list[tuple[Trigger, Sequence[Near], bool]]:
        """The open triggers that the event may miss by one of `amounts` alone, in their order, each with what it lacks: one of these
        will do, and the least of them does for sure where that is told. The rest as `find`.
        """
        triggers, exact = self.triggers, self.index.exact
        found = self.index.list_near(event, user, cohorts, amounts, self._open_rows(open_set, mine))
        slots = [slot for slot in sorted(found) if self._is_open(slot, open_set, mine)]
        return [(triggers[slot], found[slot], exact[slot] and all(near.sure for near in found[slot])) for slot in slots]

    def _open_rows(self, open_set: OpenSet, mine: Set[str]) -> int:
        return open_set.rows & _unite(self._rows_by_cohort, mine) if self.targeted else open_set.rows

    def _is_open(self, slot: int, open_set: OpenSet, mine: Set[str]) -> bool:
        """What was found by a hash has not been asked yet."""
        wanted = self.targets[slot]
        return bool(open_set.slots[slot >> 3] >> (slot & 7) & 1) and not (wanted and wanted.isdisjoint(mine))


def _unite(by_cohort: Mapping[str, int], mine: Set[str]) -> int:
    mask = by_cohort[""]
    for cohort in mine:
        mask |= by_cohort[cohort]
    return mask
