"""Campaigns that stand against each other: one winner a group and event, losers use nothing, batches don't matter."""

from collections import defaultdict
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fillip.core.campaign.campaign import Campaign, Exclusive
from fillip.core.campaign.reward import Reward
from fillip.core.event import Place
from fillip.core.ledger import settlement
from fillip.core.ledger.settlement import Settled, decide, find_winner, list_requests, refuse_early
from fillip.core.ledger.stock import Stock
from fillip.core.limit import Counter, CounterKey, Limit
from fillip.core.match.candidate import Candidate, Match
from fillip.core.match.limit_charges import list_charges
from fillip.core.quest.batch import InstanceBatch
from tests.builders import T0, build_book, build_campaign, build_event, build_version

Pick = Literal["priority", "value"]


def campaign(priority: int = 0, group: str | None = None, pick: Pick = "priority", stackable: bool = True) -> Campaign:
    """A campaign of cashback with its part in conflicts."""
    exclusive = Exclusive(group, pick) if group else None
    rewards = (Reward("cashback", 1, "USD"),)
    return build_campaign(rewards=rewards, priority=priority, exclusive=exclusive, stackable=stackable)


class Shop:
    """Campaigns c0, c1 … and the caps of some, over counters that several batches share."""

    def __init__(self, campaigns: list[Campaign], caps: dict[int, int]) -> None:
        self.campaign_versions = [build_version(f"c{i}", c) for i, c in enumerate(campaigns)]
        limits = {
            f"l{i}": Limit(f"l{i}", "campaign", "value", "lifetime", n, f"c{i}", "cashback") for i, n in caps.items()
        }
        self.book = build_book(*self.campaign_versions, limits=limits)
        self.caps = {("acme", limit_id): limit.cap for limit_id, limit in limits.items()}
        self.counters: dict[CounterKey, Counter] = {}
        self.number = 0

    def match(self, worths: dict[int, int]) -> Match:
        """An event that meets these campaigns, each worth so much."""
        self.number += 1
        event = build_event(self.book, f"e{self.number}", user_id="u", place=Place("t", 0, self.number))
        candidates = [
            Candidate(e, list_charges(event, e, (worths[i],), {}, frozenset()), values=(worths[i],))
            for i, e in enumerate(self.campaign_versions)
            if i in worths
        ]
        candidates.sort(key=lambda c: (-c.campaign_version.campaign.priority, c.campaign_version.campaign_id))
        return Match(event, candidates)

    def settle(self, matches: list[Match], hinted: bool = False) -> list[Settled]:
        """Decide these as one batch; with every counter hinted full, or none."""
        requests = [claim for some in list_requests(matches, InstanceBatch({})) for claim in some]
        for claim in requests:
            for charge in claim.charges:
                self.counters.setdefault(charge.counter, Counter(0, 0))
        seen = dict(self.counters) if hinted else {}
        weighed = [(claim, refuse_early(claim, self.caps, seen)) for claim in requests]
        return list(decide(weighed, self.counters, self.caps, {}, Stock({}, ()), InstanceBatch({}), T0))


def tell(settled: list[Settled]) -> list[tuple[str, str, str | None]]:
    """(campaign, reason, winner) of each decision, in the order in which they were made."""
    return [(s.request.campaign_version.campaign_id, s.decision.reason, s.decision.outranked_by) for s in settled]


def test_the_highest_priority_of_a_group_wins_and_the_others_name_it():
    shop = Shop([campaign(1, "g"), campaign(5, "g"), campaign(9)], {})
    assert tell(shop.settle([shop.match({0: 900, 1: 10, 2: 5})])) == [
        ("c2", "granted", None),
        ("c1", "granted", None),
        ("c0", "outranked", "c1"),
    ]


def test_the_best_value_of_a_group_wins_then_priority_then_id():
    shop = Shop([campaign(0, "g", "value"), campaign(1, "g", "value"), campaign(1, "g", "value")], {})
    won = [
        tell(shop.settle([shop.match(worths)]))[0][0]
        for worths in ({0: 9, 1: 5, 2: 7}, {0: 7, 1: 7, 2: 7}, {0: 5, 2: 4})
    ]
    assert won == ["c0", "c1", "c0"]


def test_a_winner_without_room_yields_to_the_next_and_takes_nothing():
    shop = Shop([campaign(0, "g", "value"), campaign(0, "g", "value"), campaign(0, "g", "value")], {0: 50})
    assert tell(shop.settle([shop.match({0: 90, 1: 30, 2: 20})])) == [
        ("c0", "limit", None),
        ("c1", "granted", None),
        ("c2", "outranked", "c1"),
    ]
    assert [counter.used for counter in shop.counters.values()] == [0]


def test_what_is_not_stackable_grants_alone():
    shop = Shop([campaign(5, stackable=False), campaign(1), campaign(9)], {})
    assert tell(shop.settle([shop.match({0: 1, 1: 1})])) == [("c0", "granted", None), ("c1", "outranked", "c0")]
    assert tell(shop.settle([shop.match({0: 1, 1: 1, 2: 1})])) == [
        ("c2", "granted", None),
        ("c0", "outranked", "c2"),
        ("c1", "granted", None),
    ]


def test_events_do_not_outrank_each_other():
    shop = Shop([campaign(0, "g"), campaign(0, "g")], {})
    decided = shop.settle([shop.match({0: 1}), shop.match({1: 1})])
    assert [reason for _, reason, _ in tell(decided)] == ["granted", "granted"]


GROUPS: dict[str, Pick] = {"a": "priority", "b": "value"}
CAMPAIGNS = st.builds(
    lambda priority, group, stackable: campaign(
        priority, group, GROUPS[group] if group else "priority", stackable or group is not None
    ),
    st.integers(-1, 1),
    st.sampled_from([None, *GROUPS]),
    st.booleans(),
)
EVENTS = st.lists(st.dictionaries(st.integers(0, 5), st.integers(1, 5), min_size=1), max_size=8)


@given(
    st.lists(CAMPAIGNS, min_size=6, max_size=6),
    st.dictionaries(st.integers(0, 5), st.integers(0, 9)),
    EVENTS,
    st.data(),
)
def test_one_winner_a_group_and_event_whatever_the_batches_and_hints(campaigns, caps, events, data):
    whole, parts = Shop(campaigns, caps), Shop(campaigns, caps)
    decided = whole.settle([whole.match(worths) for worths in events])
    pieces = []
    for worths in events:
        pieces += parts.settle([parts.match(worths)], hinted=data.draw(st.booleans()))
    assert tell(pieces) == tell(decided)

    won = defaultdict(list)
    for done in decided:
        if done.decision.outcome == "granted":
            won[done.request.match.event.event_id].append(done.request)
        else:
            assert done.decision.reason == "limit" or not done.decision.uses, "who is outranked touches no limit"
    for requests in won.values():
        groups = [
            claim.campaign_version.campaign.exclusive.group
            for claim in requests
            if claim.campaign_version.campaign.exclusive
        ]
        assert len(groups) == len(set(groups))
        assert len(requests) == 1 or all(claim.campaign_version.campaign.stackable for claim in requests)
    used: dict[str, int] = defaultdict(int)
    for requests in won.values():
        for claim in requests:
            used[claim.campaign_version.campaign_id] += sum(claim.values)
    for key, counter in whole.counters.items():
        assert counter.used == used["c" + key.limit_id[1:]] <= whole.caps["acme", key.limit_id]
    for done in decided:  # a loser's winner did win, and stands against it
        if winner := done.decision.outranked_by:
            assert winner in {claim.campaign_version.campaign_id for claim in won[done.request.match.event.event_id]}


@given(st.lists(CAMPAIGNS, min_size=6, max_size=6), st.dictionaries(st.integers(0, 5), st.integers(0, 9)), EVENTS)
def test_the_winner_found_on_paper_is_the_one_that_the_ledger_names(campaigns, caps, events):
    shop = Shop(campaigns, caps)
    for worths in events:
        match = shop.match(worths)
        charges = [charge for candidate in match.candidates for charge in candidate.charges]
        before = {charge.counter: shop.counters.get(charge.counter, Counter(0, 0)) for charge in charges}
        for done in shop.settle([match]):
            asked = done.request.campaign_version
            assert find_winner(asked, match.candidates, dict(before)) == done.decision.outranked_by


def test_an_event_is_granted_so_many_and_no_more(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(settlement, "MAX_GRANTS", 2)
    shop = Shop([campaign(priority) for priority in (9, 8, 7, 6)], {0: 0, 3: 5})
    assert tell(shop.settle([shop.match(dict.fromkeys(range(4), 1))])) == [
        ("c0", "limit", None),
        ("c1", "granted", None),
        ("c2", "granted", None),
        ("c3", "too_many_grants", None),
    ]
    assert all(counter.used == 0 for counter in shop.counters.values()), "what is denied takes from no limit"


@given(
    st.lists(
        st.tuples(
            st.builds(campaign, st.integers(0, 2), st.sampled_from([None, "g"]), st.just("value"), st.booleans()),
            st.integers(1, 3),
            st.booleans(),
        ),
        min_size=2,
        max_size=7,
    )
)
def test_a_campaign_in_shadow_changes_nothing_for_the_others(members: list[tuple[Campaign, int, bool]]):
    """Wherever it stands, in a group or alone; those of a group share out their places by value."""
    live = {number for number, (*_, is_shadow) in enumerate(members) if not is_shadow}
    worths = {number: worth for number, (_, worth, _) in enumerate(members)}
    told = []
    for met in (worths, {number: worths[number] for number in live}):
        shop = Shop([each for each, *_ in members], {0: 2})
        shop.campaign_versions = [
            replace(version, state="running" if number in live else "shadow")
            for number, version in enumerate(shop.campaign_versions)
        ]
        settled = shop.settle([shop.match(met), shop.match(met)])
        told.append([row for row in tell(settled) if int(row[0][1:]) in live])
    assert told[0] == told[1]
