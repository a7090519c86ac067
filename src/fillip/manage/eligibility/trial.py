"""An event that was not sent, tried: what it would meet and come to, and what it would come to with more of an amount. Pure.

In turns, between which the ledger is read: `begin` meets campaigns and finds near misses; `weigh_misses` settles the event on paper and
tells near misses that nothing else can keep from being granted; `try_amounts` settles the event once more for those left.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct, json
from msgspec.structs import replace

from fillip.core.book.eligibility import NONE
from fillip.core.errors import Unreadable
from fillip.core.event import Event, is_late
from fillip.core.index import Amount, Path
from fillip.core.ledger.settlement import MAX_GRANTS, Settled
from fillip.core.match.candidate import Match
from fillip.core.ports import MeetEvent, StoredUser
from fillip.manage.eligibility.ledger import (
    LedgerState,
    Needed,
    Paper,
    fits_alone,
    list_needed,
    settle_on_paper,
    stands_alone,
)
from fillip.manage.eligibility.narrow import Narrowing
from fillip.manage.eligibility.near import Amounts, NearMiss, find_near_misses

MAX_TRIED, MAX_AGAIN = 64, 150
"""Most amounts with which the event is settled as a whole once more, the nearest; and most grants that are weighed so, all together."""


class Begun(Struct, frozen=True):
    """What an event meets, and what it misses by one amount alone; `amounts` make it one with another."""

    event: Event
    amounts: Amounts
    user: Mapping[str, object] | None
    match: Match | None
    misses: Sequence[NearMiss]
    needed: Needed


class Weighed(Struct, frozen=True):
    """What the event comes to on paper; the near misses that are sure; and those that are settled with all else that it would meet then, for
    which `needed` has to be known besides.
    """

    paper: Paper
    sure: Sequence[NearMiss]
    left: Sequence[NearMiss] = ()
    tried: Mapping[tuple[Path, Amount], Match] = {}
    needed: Needed = Needed()


def begin(event: Event, stored: StoredUser | None, cohorts: frozenset[str], meet: MeetEvent) -> Begun:
    """What it would meet of a user with this row in these cohorts, and what it nearly would."""
    event.keep_prices()
    match, user = meet(event, stored, cohorts), _read_user(event, stored)
    needed = list_needed([match] if match else [])
    index, amounts = event.index, Amounts(event)
    if index is None or is_late(event):
        return Begun(event, amounts, user, match, (), needed)
    open_set = index.open_at(event.occurred_at)
    met = {candidate.campaign_version.campaign_id for candidate in match.candidates} if match else set()
    misses = find_near_misses(
        amounts,
        event,
        index,
        open_set,
        cohorts.intersection(index.targeted),
        user,
        cohorts if open_set.uses_cohorts else NONE,
        met,
    )
    charges = [*needed.charges, *(charge for miss in misses for charge in miss.charges)]
    return Begun(event, amounts, user, match, misses, replace(needed, charges=charges))


def _read_user(event: Event, stored: StoredUser | None) -> Mapping[str, object] | None:
    """The attributes as rules read them; None where they lack what the schema requires."""
    try:
        return event.book.read_user(json.decode(stored.attributes) if stored else {})
    except Unreadable:
        return None


def weigh_misses(
    begun: Begun, stored: StoredUser | None, cohorts: frozenset[str], meet: MeetEvent, ledger: LedgerState, at: datetime
) -> Weighed:
    """Settle the event, and find the near misses that would be granted whatever else the event meets then."""
    match, index = begun.match, begun.event.index
    paper = settle_on_paper(match, ledger, at) if match else Paper()
    fitting = [miss for miss in begun.misses if fits_alone(miss, ledger)]
    few = len(fitting) + len(paper.settled) < MAX_GRANTS // 2  # so that MAX_GRANTS keeps none from its grant
    all_stack = few and index is not None and index.all_stack
    sure, left = list[NearMiss](), list[NearMiss]()
    narrowing = Narrowing(begun.event.book, ledger.counters)
    for miss in fitting:
        (sure if all_stack and stands_alone(miss, begun.event, narrowing) else left).append(miss)
    left.sort(key=lambda miss: miss.near.distance)
    tried = _meet_again(left, begun.amounts, stored, cohorts, meet, narrowing)
    return Weighed(paper, sure, left, tried, list_needed(list(tried.values())).beyond(begun.needed))


def _meet_again(
    left: Sequence[NearMiss],
    amounts: Amounts,
    stored: StoredUser | None,
    cohorts: frozenset[str],
    meet: MeetEvent,
    narrowing: Narrowing,
) -> dict[tuple[Path, Amount], Match]:
    """What the event meets with what the nearest of these lack, as far as it bears on them."""
    lacking: dict[tuple[Path, Amount], set[str]] = {}
    for miss in left:
        lacking.setdefault((miss.near.path, miss.near.need), set()).add(miss.campaign_version.campaign_id)
    tried: dict[tuple[Path, Amount], Match] = {}
    weighed = 0
    for amount, campaign_ids in list(lacking.items())[:MAX_TRIED]:
        event = amounts.put(*amount) if weighed < MAX_AGAIN else None
        if event and (found := meet(event, stored, cohorts)):
            tried[amount] = narrowing.narrow(found, campaign_ids)
            weighed += len(found.candidates)
    return tried


def try_amounts(weighed: Weighed, ledger: LedgerState, at: datetime) -> list[NearMiss]:
    """Of the near misses that are left those that are granted when the event is settled with what they need, with what they would give."""
    papers = {amount: settle_on_paper(match, ledger, at) for amount, match in weighed.tried.items()}
    found = []
    for miss in weighed.left:
        paper = papers.get((miss.near.path, miss.near.need))
        settled = paper and _find_granted(paper.settled, miss.campaign_version.campaign_id)
        if settled:
            found.append(replace(miss, values=settled.request.values))
    return found


def _find_granted(settled: Sequence[Settled], campaign_id: str) -> Settled | None:
    mine = (each for each in settled if each.request.campaign_version.campaign_id == campaign_id)
    return next((each for each in mine if each.decision.outcome == "granted"), None)
