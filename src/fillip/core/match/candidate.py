"""What match hands on: an event with the campaigns it meets."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from fillip.core.book.version import CampaignVersion
from fillip.core.event import Event
from fillip.core.limit import CounterKey, LimitCharge
from fillip.core.match.reward_values import ValueRefusal


def is_barred(event: Event, campaign_version: CampaignVersion) -> bool:
    """Whether all that the event would earn of the campaign is denied, and nothing of it counts: paused, held out, a control."""
    if campaign_version.is_paused or event.held_out:
        return True
    return bool(campaign_version.campaign.variants) and is_control(event, campaign_version)


def is_control(event: Event, campaign_version: CampaignVersion) -> bool:
    """Whether the event's user is in a variant of the campaign that gets nothing."""
    variant = event.find_variant(campaign_version)
    return variant is not None and not campaign_version.campaign.list_rewards(variant)


class Candidate(Struct, frozen=True):
    """A campaign whose schedule, cohort and rule the event meets, and what a grant would take from each counter.

    `values` has one for each reward, 0 for those of other variants; where they can't be granted, `refused` says why and nothing is charged, nor where
    it is barred, or in shadow.
    For quests: whether the event starts it, the steps it meets with the terms of their sums and the values that they count, the key of the instance
    that it would open, the routes of those it can count for (see core.route), and the user's typed attributes and
    cohorts for the rules that settle runs.
    `retained` has one for each earlier version that instances go on under, the earliest first: what the event means there.
    """

    campaign_version: CampaignVersion
    charges: tuple[LimitCharge, ...] = ()
    values: tuple[int, ...] = ()
    refused: ValueRefusal | None = None
    starts: bool = False
    steps: tuple[int, ...] = ()
    amounts: dict[int, int] = {}
    distinct: dict[int, str] = {}
    key: str = ""
    routes: tuple[int, ...] = ()
    user: Mapping[str, object] = {}
    cohorts: frozenset[str] = frozenset()
    retained: tuple["Candidate", ...] = ()

    @property
    def versions(self) -> tuple["Candidate", ...]:
        """What the event means for each version in force, the newest first."""
        return (self, *self.retained)


class Match(Struct, frozen=True):
    """An event that meets at least one campaign, with what was read of its user at that time, at its revision. Without a candidate
    it is a reversal, or only tells under which book events were looked at.

    `late` marks an event beyond the acceptance horizon: it is recorded, its candidates are denied as `late`.
    `full` are counters that the projection showed without room: a hint, never a denial.
    """

    event: Event
    candidates: Sequence[Candidate]
    user: Mapping[str, object] | None = None
    cohorts: Mapping[str, int] = {}
    user_revision: int | None = None
    late: bool = False
    full: frozenset[CounterKey] = frozenset()

    @property
    def charges(self) -> Iterator[LimitCharge]:
        """All that any of its grants would take."""
        return (charge for each in self.candidates for version in each.versions for charge in version.charges)
