"""What campaigns refuse before or by their rule, counted by campaign and reason."""

from collections import Counter
from collections.abc import Set

from fillip.core.cast import Cast, Opening
from fillip.core.index.tally import Tally

Counts = Counter[tuple[str, str, str]]
"""(tenant, campaign, reason) -> how often."""


class Refusals:
    """Refusals of some batches. That a campaign is closed is noted for all that are at once, and told apart in `tell`."""

    def __init__(self) -> None:
        self._failed: Counts = Counter()
        self._closed: Counter[tuple[str, Cast, Opening, Set[str]]] = Counter()

    def add(self, tenant_id: str, campaign_id: str, reason: str) -> None:
        """One campaign did not take one event."""
        self._failed[tenant_id, campaign_id, reason] += 1

    def add_closed(self, tenant_id: str, cast: Cast, opening: Opening, mine: frozenset[str]) -> None:
        """One event came while `opening` held, of a user in the cohorts `mine`: the others do not look at it."""
        if opening.refused or cast.targeted:
            self._closed[tenant_id, cast, opening, mine] += 1

    def merge(self, other: "Refusals") -> None:
        """Add those of another."""
        self._failed.update(other._failed)
        self._closed.update(other._closed)

    def tell(self) -> Counts:
        """All of them."""
        tallies: dict[tuple[str, Cast, str], Tally] = {}
        for (tenant_id, cast, opening, mine), times in self._closed.items():
            for reason, mask in (*opening.refused, ("not_in_cohort", cast.list_outside(opening, mine))):
                tallies.setdefault((tenant_id, cast, reason), Tally()).add(mask, times)
        counts = Counter(self._failed)
        for (tenant_id, cast, reason), tally in tallies.items():
            for slot, times in tally.read().items():
                counts[tenant_id, cast.roles[slot].entry.campaign_id, reason] += times
        return counts
