"""What campaigns refuse before or by their rule, counted by reason."""

from collections import Counter
from collections.abc import Set
from typing import Literal

from fillip.core.book.eligibility import EligibilityIndex, OpenSet
from fillip.core.campaign.campaign import ScheduleReason

Reason = ScheduleReason | Literal["not_in_cohort", "rule_error", "key_error"]
Counts = Counter[Reason]
"""How often a campaign did not take an event, by reason."""


class Refusals:
    """Refusals of some batches. Closed campaigns are counted as one bitmap and expanded by reason in `tell`."""

    def __init__(self) -> None:
        self._failed: Counts = Counter()
        self._closed: Counter[tuple[EligibilityIndex, OpenSet, Set[str]]] = Counter()

    def add(self, reason: Reason) -> None:
        """One campaign did not take one event."""
        self._failed[reason] += 1

    def add_closed(self, eligibility: EligibilityIndex, open_set: OpenSet, mine: frozenset[str]) -> None:
        """One event came while `open_set` held, of a user in the cohorts `mine`: the others do not look at it."""
        if open_set.refused or eligibility.targeted:
            self._closed[eligibility, open_set, mine] += 1

    def merge(self, other: "Refusals") -> None:
        """Add those of another."""
        self._failed.update(other._failed)
        self._closed.update(other._closed)

    def tell(self) -> Counts:
        """All of them."""
        counts = Counter(self._failed)
        for (eligibility, open_set, mine), times in self._closed.items():
            for reason, closed in open_set.refused:
                counts[reason] += times * closed.bit_count()
            if outside := eligibility.list_outside(open_set, mine):
                counts["not_in_cohort"] += times * outside.bit_count()
        return counts
