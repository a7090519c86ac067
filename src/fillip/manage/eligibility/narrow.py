"""Of what an event meets, the part that can bear on some campaigns: nothing else needs to be settled to know what they are granted. Pure."""

from collections.abc import Collection, Iterator, Mapping
from typing import TypeAlias

from msgspec.structs import replace

from fillip.core.book.book import Book
from fillip.core.ledger.settlement import MAX_GRANTS
from fillip.core.limit import Counter, CounterKey, LimitCharge, weigh
from fillip.core.match.candidate import Candidate, Match
from fillip.core.quest.instance import MAX_TOGETHER

Tie: TypeAlias = CounterKey | tuple[str, str]
"""What two campaigns may keep each other from: a counter, a group, a pool of codes, or a badge."""


class Narrowing:
    """Narrows matches of one user and instant; whether a counter has room for all is found once."""

    def __init__(self, book: Book, counters: Mapping[CounterKey, Counter]) -> None:
        """A counter that is not among `counters` may be short."""
        self._book, self._counters = book, counters
        self._short: dict[tuple[CounterKey, bool], bool] = {}
        self._ties: dict[int, tuple[Candidate, set[Tie]]] = {}

    def narrow(self, match: Match, campaign_ids: Collection[str]) -> Match:
        """The match with these campaigns, and those tied to them by way of however many others; whole where all bear on all: one does not
        stack, or there may be more grants than an event is given.
        """
        candidates = match.candidates
        stack = all(version.campaign_version.campaign.stackable for each in candidates for version in each.versions)
        if not stack or sum(map(_count_most, candidates)) > MAX_GRANTS:
            return match
        ties = [self._find_ties(each) for each in candidates]
        kept = {n for n, each in enumerate(candidates) if each.campaign_version.campaign_id in campaign_ids}
        bound, grown = set[Tie](), set(kept)
        while grown:
            bound |= set[Tie]().union(*(ties[n] for n in grown))
            grown = {n for n, mine in enumerate(ties) if n not in kept and not mine.isdisjoint(bound)}
            kept |= grown
        return replace(match, candidates=[candidates[n] for n in sorted(kept)])

    def is_shared(self, charge: LimitCharge) -> bool:
        """Whether others may leave no room in the counter: it is of no campaign's own limit, and has not room for all that one event may be granted."""
        if self._book.limits[charge.counter.limit_id].campaign_id is not None:
            return False
        known = charge.counter, charge.counted is None
        if known not in self._short:
            self._short[known] = charge.counter not in self._counters or not has_room(
                self._book, charge, self._counters
            )
        return self._short[known]

    def _find_ties(self, candidate: Candidate) -> set[Tie]:
        """Of a candidate that comes again with another amount they are the same."""
        known = self._ties.get(id(candidate))
        if known is None:  # it is held, so that its id stays its own
            known = self._ties[id(candidate)] = candidate, set(self._list_ties(candidate))
        return known[1]

    def _list_ties(self, candidate: Candidate) -> Iterator[Tie]:
        for version in candidate.versions:
            campaign = version.campaign_version.campaign
            if campaign.exclusive:
                yield "group", campaign.exclusive.group
            for reward in campaign.rewards:
                if reward.pool:
                    yield "pool", reward.pool
                if reward.badge:
                    yield "badge", reward.badge
            for charge in version.charges:
                if self.is_shared(charge):
                    yield charge.counter


def has_room(book: Book, charge: LimitCharge, counters: Mapping[CounterKey, Counter]) -> bool:
    """Whether a counter has room for all that one event may be granted: then it is short for none of it."""
    most = MAX_GRANTS * (1 if charge.counted is None else book.most_value)
    (use,), _ = weigh([charge], counters)
    return use.used_before + most <= use.cap


def _count_most(candidate: Candidate) -> int:
    """Most grants that may come of it."""
    return 1 if candidate.campaign_version.campaign.quest is None else MAX_TOGETHER * len(candidate.versions)
