"""How a user stands to the campaigns before any event: who may take part, how far quests are, what limits have left. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime

from msgspec.structs import replace

from fillip.core.book.book import Book
from fillip.core.book.open_campaigns import find_last
from fillip.core.book.version import CampaignVersion
from fillip.core.campaign.warnings import count_least
from fillip.core.event import Event
from fillip.core.instant import add_span
from fillip.core.limit import Counter, CounterKey, CounterUse, Limit, LimitCharge, weigh
from fillip.core.match.candidate import Candidate, is_barred
from fillip.core.match.limit_charges import charge_counter
from fillip.core.quest.batch import read_quest_event
from fillip.core.quest.instance import Instance, find_end
from fillip.core.quest.step import fresh_steps
from fillip.core.tenant import start_window
from fillip.manage.eligibility.answer import BarAnswer, LimitLeft, MissingAnswer
from fillip.manage.explain.answer import StepAnswer

_UNUSED = Counter(0, 0)
MAX_BARS = 20
"""Most instances told of one quest."""


class Rooms:
    """What limits have left for an event's user and time: those whose counters can be named before an event, each looked at when it is asked."""

    def __init__(self, event: Event, limits: Mapping[str, Limit], counters: Mapping[CounterKey, Counter]) -> None:
        """Of these `limits`, those without a key; what is not among `counters` is at 0."""
        self._event, self._limits, self._counters = event, limits, counters
        self._used = {counter.limit_id for counter in counters}
        self._uses: dict[str, CounterUse] = {}

    def let(self, campaign_version: CampaignVersion, among: Collection[str]) -> bool:
        """Whether the least that the campaign could grant still fits under those of these limits, by id, that it falls under."""
        limits = (each for each in list_limits(self._event, campaign_version) if each.limit_id in among)
        return all(
            use.used_before + _count_least(self._event, campaign_version, limit) <= use.cap
            for limit in limits
            if (use := self._find(limit))
        )

    def list_short(self) -> set[str]:
        """Those that may have no room for the least that some campaign could grant."""
        book = self._event.book
        used = (self._limits[limit_id] for limit_id in self._used if limit_id in self._limits)
        asked = ((each, use) for each in used if (use := self._find(each)))
        return {each.limit_id for each, use in asked if use.used_before + book.find_most(each) > each.cap} | (
            book.narrow_limits - self._used
        )

    def tell(self, campaign_version: CampaignVersion) -> list[LimitLeft]:
        """Those that a grant of the campaign falls under."""
        uses = map(self._find, list_limits(self._event, campaign_version))
        return [tell_use(use) for use in uses if use]

    def weigh_least(self, campaign_version: CampaignVersion) -> list[CounterUse]:
        """The same, by the least that a grant could take."""
        found = ((limit, self._find(limit)) for limit in list_limits(self._event, campaign_version))
        return [replace(use, amount=_count_least(self._event, campaign_version, limit)) for limit, use in found if use]

    def _find(self, limit: Limit) -> CounterUse | None:
        if limit.key or limit.limit_id not in self._limits:
            return None
        if limit.limit_id not in self._uses:
            charge = charge_counter(self._event, limit, key="", amount=0)
            counter = self._counters.get(charge.counter, _UNUSED)
            (self._uses[limit.limit_id],), _ = weigh([charge], {charge.counter: counter})
        return self._uses[limit.limit_id]


def list_limits(event: Event, campaign_version: CampaignVersion) -> Sequence[Limit]:
    """The limits that a grant to the event's user may touch, whatever event earns it."""
    variant = event.find_variant(campaign_version)
    named = campaign_version.campaign_id, campaign_version.version, variant
    limits = event.book.limits_by_version.get(named, ())
    granting = campaign_version.campaign.granting_action()
    return [limit for limit in limits if limit.action is None or granting in (None, limit.action)]


def charge_standing(event: Event, limits: Iterable[Limit]) -> list[LimitCharge]:
    """Of each limit without a key the counter that a grant at the event's time would be charged; for nothing."""
    return [charge_counter(event, limit, key="", amount=0) for limit in limits if not limit.key]


def list_windows(event: Event) -> list[date]:
    """The days on which windows of limits without a key began that hold the event."""
    kinds = event.book.standing_windows
    return sorted({start_window(span, event.find_day(zone), first) for span, zone, first in kinds})


def tell_use(use: CounterUse) -> LimitLeft:
    """A limit before a grant, as it is answered."""
    left = max(use.cap - use.used_before, 0)
    return LimitLeft(limit_id=use.limit_id, key=use.key, cap=use.cap, left=left, resets_at=use.resets_at)


def _count_least(event: Event, campaign_version: CampaignVersion, limit: Limit) -> int:
    return count_least(limit, campaign_version.campaign.list_rewards(event.find_variant(campaign_version)))


def is_open(event: Event, campaign_version: CampaignVersion, cohorts: frozenset[str]) -> bool:
    """Whether state, schedule and cohort let the user take part, and neither a holdout nor a variant keeps everything from them."""
    campaign = campaign_version.campaign
    if campaign_version.is_shadow or (campaign.cohorts and cohorts.isdisjoint(campaign.cohorts)):
        return False
    if campaign.schedule.refuse(event.occurred_at, event.book.tenant.time_zone):
        return False
    if event.occurred_at > find_last(campaign_version):
        return False
    return not is_barred(event, campaign_version)


def list_standing(
    book: Book, instances: Sequence[Instance], campaign_version: CampaignVersion, at: datetime
) -> list[Instance]:
    """Those of a quest's instances for which events of now may still count, in order of their start."""
    quest = campaign_version.campaign.quest
    live = book.tenant.clock == "live"
    found = [
        each
        for each in instances
        if each.state == "open"
        and not (live and quest and each.ends_at and at > add_span(each.ends_at, quest.lateness_s))
    ]
    return sorted(found, key=lambda each: each.start_offset)


def find_ended(
    event: Event, instances: Mapping[str, Sequence[Instance]], campaign_version: CampaignVersion
) -> Instance | None:
    """What ended a campaign's quest for the event's user, whatever event comes now; None where one may still count."""
    if campaign_version.campaign.quest is None:
        return None
    candidate = Candidate(campaign_version, retained=tuple(map(Candidate, campaign_version.retained)))
    return find_end(instances.get(campaign_version.quest_id, ()), read_quest_event(event, candidate))


def describe_bar(instance: Instance, *, moved: bool) -> BarAnswer:
    """An instance as a bar."""
    steps = [StepAnswer(name=step.name, done=step.done, needed=step.needed) for step in instance.steps]
    return BarAnswer(
        instance=instance.name,
        campaign_version=instance.campaign_version,
        started_at=instance.started_at,
        ends_at=instance.ends_at,
        moved=moved,
        steps=steps,
    )


def describe_fresh(campaign_version: CampaignVersion) -> list[BarAnswer]:
    """The bar of a quest that would begin; none of a campaign without a quest."""
    quest = campaign_version.campaign.quest
    if quest is None:
        return []
    steps = [StepAnswer(name=step.name, done=step.done, needed=step.needed) for step in fresh_steps(quest)]
    return [BarAnswer(campaign_version=campaign_version.version, steps=steps)]


def list_missing(bar: BarAnswer) -> list[MissingAnswer]:
    """What the steps of a quest still need."""
    return [
        MissingAnswer(step=step.name, have=step.done, need=step.needed, missing=step.needed - step.done)
        for step in bar.steps
        if step.done < step.needed
    ]
