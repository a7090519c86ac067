"""Puts the answer together: every campaign counted, the first of them told, by outcome, worth and nearness. Pure."""

from collections import Counter as Tally
from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import datetime
from itertools import islice

from msgspec import Struct

from fillip.core.book.version import CampaignVersion
from fillip.core.campaign.reward import Reward
from fillip.core.campaign.worth import Worth, weigh_rewards
from fillip.core.event import Event
from fillip.core.ledger.settlement import Settled
from fillip.core.limit import Counter, CounterKey, weigh
from fillip.core.match.candidate import is_barred
from fillip.core.match.limit_charges import list_charges
from fillip.core.quest.batch import QuestKey
from fillip.core.quest.instance import Instance
from fillip.core.rule import RuleError
from fillip.manage.eligibility.answer import (
    CampaignEligibility,
    CountsAnswer,
    EligibilityAnswer,
    EligibilityOutcome,
    LimitLeft,
    MissingAnswer,
    ReasonAnswer,
    RewardTold,
)
from fillip.manage.eligibility.ledger import Paper
from fillip.manage.eligibility.near import NearMiss
from fillip.manage.eligibility.standing import (
    MAX_BARS,
    Rooms,
    describe_bar,
    describe_fresh,
    find_ended,
    is_open,
    list_missing,
    list_standing,
    tell_use,
)
from fillip.manage.explain.answer import Check
from fillip.manage.explain.checks import EventContext, check_limits, make_checks
from fillip.manage.explain.explanation import check_decided
from fillip.manage.explain.quest_trial import build_quest_event, try_quest
from fillip.manage.explain.wording import tell_end, tell_key_error

_ORDER: Sequence[EligibilityOutcome] = ("earned", "nearly", "open_quest", "open", "not_earned")
_OF_EVENTS = ("action", "rule", "time")
"""Checks that only an event passes or fails."""
_Given = Sequence[tuple[Reward, int | None]]


class Standing(Struct, frozen=True):
    """All that is known: the event (a plain instant where `is_event` is not), its user, and what came of the trial.

    `instances` are, by quest, those that the user has open, before any event also the newest that is not; `asked` those that the event asks for.
    """

    event: Event
    is_event: bool
    user: Mapping[str, object]
    user_revision: int | None
    cohorts: frozenset[str]
    instances: Mapping[str, Sequence[Instance]]
    rooms: Rooms
    counters: Mapping[CounterKey, Counter] = {}
    asked: Mapping[QuestKey, Sequence[Instance]] = {}
    paper: Paper = Paper()
    misses: Sequence[NearMiss] = ()


class _Entry(Struct, frozen=True):
    """A campaign in its place, with what its outcome stands on."""

    outcome: EligibilityOutcome
    campaign_version: CampaignVersion
    worth: Worth
    given: _Given
    distance: float = 0.0
    settled: Sequence[Settled] = ()
    miss: NearMiss | None = None
    standing: Sequence[Instance] = ()

    @property
    def place(self) -> tuple[int, Worth, float, str]:
        return _ORDER.index(self.outcome), self.worth, self.distance, self.campaign_version.campaign_id


def tell_all(standing: Standing, now: datetime, most: int) -> bytes:
    """The answer as JSON, with at most so many campaigns. Those not earned are looked at only as far as they are told."""
    book, event = standing.event.book, standing.event
    entries = sorted(_list_entries(standing), key=lambda entry: entry.place)
    counts = CountsAnswer(**Tally[str](entry.outcome for entry in entries))
    told = {entry.campaign_version.campaign_id for entry in entries}
    if not standing.is_event:
        counts.open, open_now = _list_open(standing, told | _list_ended(standing), most)
        entries += sorted((_enter(standing, "open", each) for each in open_now), key=lambda entry: entry.place)
    counts.not_earned = len(book.campaign_versions) - len(told) - counts.open
    told.update(entry.campaign_version.campaign_id for entry in entries)
    page = [_tell(standing, entry, now) for entry in entries[:most]]
    denied = _list_settled(standing)
    for version in book.by_worth if len(page) < most else ():
        if version.campaign_id not in told:
            entry = _enter(standing, "not_earned", version, settled=denied.get(version.campaign_id, ()))
            page.append(_tell(standing, entry, now))
            if len(page) == most:
                break
    return EligibilityAnswer(
        user_id=event.user_id,
        user_revision=standing.user_revision,
        at=event.occurred_at,
        book_version=book.version,
        total=len(book.campaign_versions),
        counts=counts,
        campaigns=page,
    ).encode()


def _list_entries(standing: Standing) -> Iterator[_Entry]:
    """All campaigns but those not earned, and those that are only open."""
    versions, event = standing.event.book.campaign_versions, standing.event
    told: set[str] = set()
    for campaign_id, settled in _list_settled(standing).items():
        granted = [each for each in settled if each.decision.outcome == "granted"]
        if granted:
            told.add(campaign_id)
            given = [(reward, each.request.values[i]) for each in granted for i, reward in each.request.rewards.items()]
            version = granted[0].request.campaign_version
            yield _Entry("earned", version, weigh_rewards(given), given, settled=granted)
    for miss in standing.misses:
        version = miss.campaign_version
        told.add(version.campaign_id)
        rewards = version.campaign.list_rewards(event.find_variant(version))
        of_miss = [(reward, miss.values[index]) for index, reward in rewards.items()]
        yield _Entry("nearly", version, weigh_rewards(of_miss), of_miss, distance=miss.near.distance, miss=miss)
    for campaign_id, instances in _list_moved(standing).items():
        found = versions.get(campaign_id)
        if found is None or campaign_id in told or found.campaign.quest is None or is_barred(event, found):
            continue
        if open_now := list_standing(event.book, instances, found, event.occurred_at):
            told.add(campaign_id)
            yield _enter(standing, "open_quest", found, instances=open_now)


def _list_ended(standing: Standing) -> set[str]:
    """The campaigns whose quests have ended for the user, of those of which there is an instance."""
    versions, instances = standing.event.book.campaign_versions, standing.instances
    known = (versions[quest_id] for quest_id in instances if quest_id in versions)
    return {each.campaign_id for each in known if find_ended(standing.event, instances, each)}


def _list_open(standing: Standing, told: Set[str], most: int) -> tuple[int, list[CampaignVersion]]:
    """Before an event, how many other campaigns the user may take part in, and those among which the first `most` are.

    Of those open to all only the ones that were told, or fall under a limit that may be short, are looked at one by one.
    """
    event, rooms, limits = standing.event, standing.rooms, standing.event.book.limits
    if event.held_out:
        return 0, []
    short = rooms.list_short()
    named = {limits[limit_id].campaign_id for limit_id in short}
    of_all = None in named

    def is_left(version: CampaignVersion) -> bool:
        if version.campaign_id in told:
            return False
        return not (of_all or version.campaign_id in named) or rooms.let(version, short)

    open_campaigns = event.book.open_campaigns
    some = [each for each in open_campaigns.others if is_open(event, each, standing.cohorts) and is_left(each)]
    lasting = open_campaigns.find(event.occurred_at)
    looked_at = lasting if of_all else lasting.keys() & (told | named)
    count = len(some) + len(lasting) - sum(not is_left(lasting[campaign_id]) for campaign_id in looked_at)
    first = islice((each for each in lasting.values() if is_left(each)), most)
    return count, [*first, *_choose(some, most)]


def _choose(versions: Sequence[CampaignVersion], most: int) -> list[CampaignVersion]:
    """Those among which the first `most` are: what a variant is worth only its user tells."""
    fixed = [each for each in versions if not each.campaign.variants]
    return [*fixed[:most], *(each for each in versions if each.campaign.variants)]


def _enter(
    standing: Standing,
    outcome: EligibilityOutcome,
    version: CampaignVersion,
    *,
    settled: Sequence[Settled] = (),
    instances: Sequence[Instance] = (),
) -> _Entry:
    """With what is known of the rewards before an event tells."""
    rewards = version.campaign.list_rewards(standing.event.find_variant(version)).values()
    given = [(reward, None if reward.formula else reward.value) for reward in rewards]
    worth = weigh_rewards((reward, value or 0) for reward, value in given)
    return _Entry(outcome, version, worth, given, settled=settled, standing=instances)


def _list_settled(standing: Standing) -> dict[str, list[Settled]]:
    by_campaign: dict[str, list[Settled]] = {}
    for each in standing.paper.settled:
        by_campaign.setdefault(each.request.campaign_version.campaign_id, []).append(each)
    return by_campaign


def _list_moved(standing: Standing) -> dict[str, list[Instance]]:
    """The instances by quest, as they would be after the event."""
    found = {quest_id: {each.name: each for each in known} for quest_id, known in standing.instances.items()}
    for (_, quest_id, _), moved in standing.paper.moved.items():
        found.setdefault(quest_id, {}).update({each.name: each for each in moved})
    return {quest_id: list(known.values()) for quest_id, known in found.items()}


def _tell(standing: Standing, entry: _Entry, now: datetime) -> CampaignEligibility:
    version = entry.campaign_version
    moved = {
        each.name
        for (_, quest_id, _), some in standing.paper.moved.items()
        if quest_id == version.quest_id
        for each in some
    }
    bars = [describe_bar(each, moved=each.name in moved) for each in entry.standing[:MAX_BARS]]
    if entry.outcome == "open":
        bars = describe_fresh(version)
    missing = list_missing(bars[0]) if bars else []
    failed = _find_reason(standing, entry, now) if entry.outcome == "not_earned" else None
    limits: list[LimitLeft] = []
    if entry.miss:
        missing = [_describe_missing(entry.miss)]
        limits = [tell_use(use) for use in weigh(entry.miss.charges, standing.counters)[0]]
    elif entry.settled:
        limits = [tell_use(use) for use in entry.settled[0].decision.uses]
    elif entry.outcome != "not_earned" or (failed and failed.reason == "limit"):
        limits = standing.rooms.tell(version)
    return CampaignEligibility(
        campaign_id=version.campaign_id,
        campaign_version=version.version,
        name=version.campaign.name,
        outcome=entry.outcome,
        rewards=[RewardTold(kind=reward.kind, currency=reward.currency, value=value) for reward, value in entry.given],
        missing=missing,
        failed=failed,
        quests=bars,
        limits=limits,
        actions=sorted({trigger.expression.action for trigger in version.triggers}),
    )


def _describe_missing(miss: NearMiss) -> MissingAnswer:
    near = miss.near
    return MissingAnswer(
        attribute=".".join(("event", *near.path)), have=near.have, need=near.need, missing=miss.missing
    )


def _find_reason(standing: Standing, entry: _Entry, now: datetime) -> ReasonAnswer:
    """The first check that fails, as an explanation has it."""
    event = standing.event
    context = EventContext(entry.campaign_version, event, standing.user, standing.cohorts, standing.user_revision)
    checks = (each for each in make_checks(context, now) if standing.is_event or each.check not in _OF_EVENTS)
    failed = next((each for each in checks if not each.passed), None)
    if failed is None and entry.settled:
        decision = entry.settled[0].decision
        decided = check_decided(context, decision.reason, decision.outranked_by, decision.uses)
        failed = next((each for each in decided if not each.passed), None)
    if failed is None:
        failed = _find_left(standing, context)
    return ReasonAnswer(check=failed.check, reason=failed.reason, message=failed.message)


def _find_left(standing: Standing, context: EventContext) -> Check:
    """What else there is: a quest that has ended for the user, or in which the event does nothing; or a limit: before any event, or one whose
    key the event does not have.
    """
    event, version = standing.event, context.campaign_version
    if not standing.is_event:
        if end := find_ended(event, standing.instances, version):
            return Check(check="quest", passed=False, reason="quest", message=tell_end(end))
        return check_limits(standing.rooms.weigh_least(version))
    if version.campaign.quest:
        known = standing.asked.get((event.tenant_id, version.quest_id, event.user_id), ())
        return try_quest(context, build_quest_event(context), known).check
    try:
        list_charges(event, version, version.values, standing.user, standing.cohorts)
    except RuleError as error:
        return Check(check="limits", passed=False, reason="key_error", message=tell_key_error(error))
    return Check(check="limits", passed=False, reason="limit", message="a limit that it falls under has no room left")
