"""The one stage of match: schedule, cohort and rule of the campaigns that look at an event's action."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import monotonic

from msgspec import Struct, json
from msgspec.structs import replace

from fillip.core.book.book import Book
from fillip.core.book.eligibility import NONE, EligibilityIndex, OpenSet
from fillip.core.book.version import CampaignVersion, Trigger
from fillip.core.by_hand import GRANT, read_grant
from fillip.core.cohort import list_mine
from fillip.core.errors import Unreadable
from fillip.core.event import REVERSAL, Event, Rejection, is_late
from fillip.core.match.candidate import Candidate, Match
from fillip.core.match.price import price
from fillip.core.match.quest_candidate import build_quest_candidate, join_candidates
from fillip.core.match.reward_values import RewardValues
from fillip.core.ports import StoredUser, UserAttributes, UserNumbers
from fillip.core.repair import REPAIR, read_repair
from fillip.core.rule import RuleError
from fillip.match.refusals import Refusals
from fillip.stream.belt import take_portions

SLICE_S = 0.01

_ASKED = frozenset({GRANT, REPAIR})
"""Events that name a campaign, which meets them without its rule."""
Attributes = Mapping[str, object]
_Part = tuple[str, str, int]
"""(tenant, topic, partition)"""


class Meet:
    """Stage: events in, those that meet a campaign out, with rejections passed through in their order.

    Of a tenant and partition of whose events none does, one comes out all the same, without a candidate: so that settle
    knows under which book they were looked at.
    """

    def __init__(self, users: UserAttributes, numbers: UserNumbers, count: Callable[[Refusals], None]) -> None:
        """`users` and `numbers` are asked once a batch, of users whose attributes or cohorts are asked for; `count` is told
        of refusals once a batch.
        """
        self._users = users
        self._numbers = numbers
        self._count = count

    async def __call__(self, items: Sequence[Event | Rejection]) -> list[Match | Rejection]:
        """Raises Retry when attributes can't be read."""
        refusals = Refusals()
        found = [_find_open(item) if isinstance(item, Event) else None for item in items]
        if numbered := [each.event for each in found if each and each.uses_number]:
            numbers = await self._find_numbers(numbered)
            found = [_find_cohorts(each, numbers) if each and each.uses_number else each for each in found]
        wanted = {(each.event.tenant_id, each.event.user_id) for each in found if each and each.asks_user}
        wanted |= {
            (each.tenant_id, each.user_id) for each in items if isinstance(each, Event) and each.action in _ASKED
        }
        users = await self._users.read(wanted) if wanted else {}
        met: list[Match | Rejection] = []
        unmet: dict[_Part, Event] = {}
        due = monotonic() + SLICE_S
        async for portion in take_portions(list(zip(items, found, strict=True))):
            for item, eligibility in portion:
                if monotonic() > due:  # an event may meet thousands of campaigns
                    await asyncio.sleep(0)
                    due = monotonic() + SLICE_S
                if isinstance(item, Rejection):
                    met.append(item)
                elif item.action == REVERSAL:  # meets no campaign, and is settled all the same
                    met.append(Match(item, ()))
                elif (item.action in _ASKED and (match := _meet_asked(item, users, refusals))) or (
                    eligibility and (match := _meet(eligibility, users, refusals))
                ):
                    met.append(match)
                else:
                    unmet.setdefault((item.tenant_id, item.place.topic, item.place.partition), item)
        self._count(refusals)
        return met + _represent(unmet, met) if unmet else met

    async def _find_numbers(self, events: Sequence[Event]) -> Mapping[str, Mapping[str, int]]:
        users: dict[str, set[str]] = {}
        books: dict[str, Book] = {}
        for event in events:
            users.setdefault(event.tenant_id, set()).add(event.user_id)
            books[event.tenant_id] = event.book
        return await self._numbers.find(users, books)


def meet_alone(event: Event, stored: StoredUser | None, cohorts: frozenset[str]) -> Match | None:
    """What the stage would make of one event by itself, of a user with this row in all these cohorts; None where it meets nothing."""
    found = _find_open(event)
    if found is None:
        return None
    if found.uses_number:
        mine = cohorts.intersection(found.index.targeted)
        found = _Eligibility(event, found.index, found.open_set, mine, cohorts if found.open_set.uses_cohorts else NONE)
    return _meet(found, {(event.tenant_id, event.user_id): stored} if stored else {}, Refusals())


def _represent(unmet: Mapping["_Part", Event], met: Sequence[Match | Rejection]) -> list[Match | Rejection]:
    """One event of each part of the log of which none has met a campaign."""
    events = [each.event for each in met if isinstance(each, Match) and each.event.action != REVERSAL]
    known = {(event.tenant_id, event.place.topic, event.place.partition) for event in events}
    return [Match(event, ()) for part, event in unmet.items() if part not in known]


class _Eligibility(Struct, frozen=True, gc=False):
    """An event whose action campaigns look at, and what schedule and cohort leave open to it; `mine` are its user's cohorts, of
    those campaigns are for.

    `cohorts` are all cohorts of the user, where a rule that is open asks for any.
    """

    event: Event
    index: EligibilityIndex
    open_set: OpenSet
    mine: frozenset[str] = NONE
    cohorts: frozenset[str] = NONE

    @property
    def asks_user(self) -> bool:
        return self.open_set.uses_user or self.event.action in self.event.book.zoned_actions

    @property
    def uses_number(self) -> bool:
        return bool(self.index.targeted or self.open_set.uses_cohorts)


def _find_open(event: Event) -> _Eligibility | None:
    index = event.index
    return _Eligibility(event, index, index.open_at(event.occurred_at)) if index else None


def _find_cohorts(found: _Eligibility, numbers: Mapping[str, Mapping[str, int]]) -> _Eligibility:
    event, index, open_set = found.event, found.index, found.open_set
    number, cohorts = numbers[event.tenant_id].get(event.user_id), event.book.cohorts
    mine = index.list_mine(number, cohorts)
    return _Eligibility(
        event, index, open_set, mine, list_mine(number, cohorts, cohorts) if open_set.uses_cohorts else NONE
    )


def _meet(eligibility: _Eligibility, users: Mapping[tuple[str, str], StoredUser], refusals: Refusals) -> Match | None:
    event, book = eligibility.event, eligibility.event.book
    refusals.add_closed(eligibility.index, eligibility.open_set, eligibility.mine)
    known = users.get((event.tenant_id, event.user_id))
    event = _give_zone(event, known)
    stored = known if eligibility.open_set.uses_user else None
    user: Attributes | None = json.decode(stored.attributes) if stored else None
    typed_user: Attributes | None = {}
    if eligibility.open_set.uses_user:
        try:
            typed_user = book.read_user(user or {})
        except Unreadable:  # an attribute that the schema requires is missing
            typed_user = None
    cohorts = eligibility.cohorts
    met = _apply_rules(eligibility, typed_user, cohorts, refusals)
    if not met:
        return None
    candidates = [
        c for found in met.values() if (c := _build_candidate(event, found, typed_user or {}, cohorts, refusals))
    ]
    if not candidates:
        return None
    if len(candidates) > 1:
        candidates.sort(key=lambda c: (-c.campaign_version.campaign.priority, c.campaign_version.campaign_id))
    versions: Mapping[str, int] = {}
    if eligibility.index.targeted or cohorts:
        campaign_versions = [version.campaign_version for candidate in candidates for version in candidate.versions]
        targeted = [cohort for each in campaign_versions for cohort in each.campaign.cohorts]
        # of a book without members there is none
        present = [each for each in [*targeted, *cohorts] if each in book.cohorts]
        versions = {cohort: book.cohorts[cohort].version for cohort in present}
    revision = stored.revision if stored else None
    return Match(event, candidates, user, versions, user_revision=revision, late=is_late(event))


def _give_zone(event: Event, known: StoredUser | None) -> Event:
    """The event with its user's own time zone, if any."""
    return replace(event, user_time_zone=known.time_zone) if known and known.time_zone else event


def _meet_asked(event: Event, users: Mapping[tuple[str, str], StoredUser], refusals: Refusals) -> Match | None:
    """The campaign that a grant by hand or a repair names, whatever its rule, schedule and cohorts are; None where it can do nothing so."""
    event = _give_zone(event, users.get((event.tenant_id, event.user_id)))
    find = _find_granted if event.action == GRANT else _find_repaired
    candidate = find(event, refusals)
    return Match(event, [candidate], late=is_late(event)) if candidate else None


def _find_granted(event: Event, refusals: Refusals) -> Candidate | None:
    campaign_version = event.book.campaign_versions.get(read_grant(event.attributes).campaign_id)
    if campaign_version is None or campaign_version.is_shadow or campaign_version.campaign.quest:
        return None
    return _build_version_candidate(event, campaign_version.triggers, {}, NONE, refusals)


def _find_repaired(event: Event, refusals: Refusals) -> Candidate | None:
    """None too where a limit of one of its versions counts by a part of the event."""
    newest = event.book.campaign_versions.get(read_repair(event.attributes).campaign_id)
    if newest is None or newest.is_shadow or newest.campaign.quest is None:
        return None
    found = {each.version: _price(event, each, {}, NONE, refusals) for each in (newest, *newest.retained)}
    return join_candidates(newest, found) if all(found.values()) else None


def _apply_rules(
    eligibility: _Eligibility, user: Attributes | None, cohorts: frozenset[str], refusals: Refusals
) -> Mapping[str, list[Trigger]]:
    """The triggers whose rule holds, by campaign. An error of a rule that is run is no match, and counted."""
    met: dict[str, list[Trigger]] = {}
    event = eligibility.event
    for trigger, sure in eligibility.index.find(eligibility.open_set, eligibility.mine, event.typed, user, cohorts):
        try:
            if user is None and trigger.uses_user:
                raise RuleError("the user lacks an attribute that the schema requires")
            if sure or trigger.rule(event.typed, user or {}, cohorts):
                met.setdefault(trigger.campaign_version.campaign_id, []).append(trigger)
        except RuleError:
            refusals.add("rule_error")
    return met


def _build_candidate(
    event: Event, triggers: Sequence[Trigger], user: Attributes, cohorts: frozenset[str], refusals: Refusals
) -> Candidate | None:
    """The candidate that these triggers of one campaign make, of all its versions in force."""
    newest = event.book.campaign_versions[triggers[0].campaign_version.campaign_id]
    if not newest.retained:
        return _build_version_candidate(event, triggers, user, cohorts, refusals)
    by_version: dict[int, list[Trigger]] = {}
    for trigger in triggers:
        by_version.setdefault(trigger.campaign_version.version, []).append(trigger)
    found = {n: _build_version_candidate(event, mine, user, cohorts, refusals) for n, mine in by_version.items()}
    return join_candidates(newest, found)


def _build_version_candidate(
    event: Event, triggers: Sequence[Trigger], user: Attributes, cohorts: frozenset[str], refusals: Refusals
) -> Candidate | None:
    priced = _price(event, triggers[0].campaign_version, user, cohorts, refusals)
    if priced is None or priced.campaign_version.campaign.quest is None:
        return priced
    worth = RewardValues(priced.values, priced.refused)
    candidate, failed = build_quest_candidate(event, priced.charges, worth, triggers, user, cohorts)
    for _ in range(failed):
        refusals.add("rule_error")
    return candidate


def _price(
    event: Event,
    campaign_version: CampaignVersion,
    user: Attributes,
    cohorts: frozenset[str],
    refusals: Refusals,
) -> Candidate | None:
    """See price; None where the key of a limit fails."""
    try:
        return price(event, campaign_version, user, cohorts)
    except RuleError:
        refusals.add("key_error")
        return None
