"""Routes: what an event does not find it could not have met, whatever the rules, versions, windows and batches."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fillip.core.book.book import Action
from fillip.core.book.route import EVERYWHERE, hash_route
from fillip.core.book.version import CampaignVersion, join_versions, list_triggers
from fillip.core.campaign.quest import Keyed, Quest, Start, Step
from fillip.core.campaign.reward import Reward
from fillip.core.campaign.vocabulary import TypeContext
from fillip.core.event import Event, Place
from fillip.core.match.candidate import Candidate, Match
from fillip.core.match.quest_candidate import build_quest_candidate, join_candidates
from fillip.core.match.reward_values import RewardValues
from fillip.core.quest import instance as life
from fillip.core.quest.batch import InstanceBatch, InstancesToLock, list_instances_to_lock
from fillip.core.quest.instance import Instance
from fillip.core.quest.user_instances import UserInstances
from fillip.core.rule import RuleError
from fillip.core.schema.coerce import build_coercer
from fillip.core.schema.reader import build_event_coercer
from fillip.core.schema.types import derive_type
from fillip.manage.campaign.expressions import check_expression
from tests.builders import T0, build_book, build_campaign, build_event, build_version

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "post": {"type": ["string", "null"]},
        "other": {"type": ["string", "null"]},
        "n": {"type": ["integer", "null"]},
        "d": {"type": ["number", "null"]},
        "at": {"type": "object", "properties": {"x": {"type": ["boolean", "null"]}}},
    },
}
SHAPES = dict.fromkeys(("LIKE", "POST"), derive_type(SCHEMA))
READ = build_coercer(derive_type(SCHEMA))
ROUTED = [
    ["event.post == start.post", "start.post == event.other", 'event.post + "" == start.post && event.n > 0',
     "(event.d > 0.5 && event.post == start.post) && progress.done < 1", 'start.post == "a"'],
    ["event.n == start.n", "1 / event.n == start.n", "start.n == event.n + 1 && true"],
    ["event.d == start.d", "start.d == 0.0 && event.n != 1"],
    ["event.at.x == start.at.x", "start.at.x == (event.n == 1)"],
]  # fmt: skip
UNROUTED = [
    "true",
    "event.n != 2",
    "event.post == start.post || event.n == 1",
    "!(event.post == start.post)",
    'start.post in ["a", "b"]',
    "event.post != start.post",
    "progress.steps_met == 0",
    "start.n == progress.done",
]
RULES = st.one_of(*map(st.sampled_from, ROUTED), st.sampled_from(UNROUTED))
DATA = st.fixed_dictionaries(
    {},
    optional={
        "post": st.sampled_from(["a", "a", "b", "b", None]),
        "other": st.sampled_from(["a", "b"]),
        "n": st.sampled_from([1, 1, 2, 1.0, 0, None]),
        "d": st.sampled_from([0, 1, 1.0, -0.0, 0.25, None]),
        "at": st.sampled_from([{}, {"x": True}, {"x": None}]),
    },
)


@cache
def define(rules: tuple[str, ...], version: int, shape: tuple[Any, ...]) -> CampaignVersion:
    """A version of a quest with these rules of its steps."""
    ordered, repeatable, at, instance, window_s, lateness_s, count = shape
    steps = tuple(Step(f"s{index}", "LIKE", rule, count) for index, rule in enumerate(rules))
    start = Start("event", "POST", "event.n != 0") if at == "event" else Start(at)
    quest = Quest(steps, start, instance, window_s, lateness_s, ordered, repeatable)
    campaign = build_campaign(rewards=(Reward("points", 5),), quest=quest)
    checked = {each.path: check_expression(each, TypeContext(SHAPES)) for each in campaign.expressions}
    return build_version("q", campaign, version=version, checked=checked)


def path_of(campaign_version: CampaignVersion) -> object:
    return campaign_version.route and campaign_version.route.path


@st.composite
def versions(draw: st.DrawFn) -> list[CampaignVersion]:
    """Versions of one quest, as saving lets them follow each other: what has a route keeps it."""
    at = draw(st.sampled_from(["first_step", "first_step", "event"]))
    instance = draw(st.sampled_from([Keyed("event.post"), "event", "user"]))
    shape = (draw(st.booleans()), draw(st.booleans()) and instance != "event", at, instance)
    steps, family = draw(st.integers(1, 3)), draw(st.sampled_from([ROUTED[0], *ROUTED]))
    made: list[CampaignVersion] = []
    for number in range(1, draw(st.integers(1, 3)) + 1):
        pool = draw(st.sampled_from([st.sampled_from(family), st.sampled_from(family), RULES]))
        rules = tuple(draw(pool) for _ in range(steps))
        times = (draw(st.sampled_from([None, 10])), draw(st.sampled_from([0, 5])), draw(st.sampled_from([1, 2])))
        made.append(define(rules, number, shape + times))
    before: object = None
    for campaign_version in made:
        assume(before is None or path_of(campaign_version) == before)
        before = path_of(campaign_version)
    return made


TOLD = st.tuples(st.sampled_from(["LIKE", "LIKE", "POST"]), st.integers(0, 40), DATA)
BATCHES = st.lists(st.tuples(st.sampled_from(["keep", "migrate"]), st.lists(TOLD, max_size=8)), min_size=2, max_size=6)


def write_match(campaign_version: CampaignVersion, number: int, told: tuple[str, int, dict[str, Any]]) -> Match:
    action, at_s, data = told
    actions = {name: Action(name, SCHEMA, build_event_coercer(SCHEMA)) for name in SHAPES}
    event = build_event(
        build_book(campaign_version, actions=actions),
        f"e{number}",
        user_id="u",
        action=action,
        at=T0 + timedelta(seconds=at_s),
        attributes=data,
        typed=READ(data),
        place=Place("t", 0, number),
    )
    found = {each.version: nominate(event, each) for each in (campaign_version, *campaign_version.retained)}
    candidate = join_candidates(campaign_version, found)
    return Match(event, [candidate] if candidate else [])


def nominate(event: Event, campaign_version: CampaignVersion) -> Candidate | None:
    met = [
        trigger
        for trigger in list_triggers(campaign_version)
        if trigger.expression.action == event.action and holds(trigger, event)
    ]
    return (
        build_quest_candidate(event, (), RewardValues(campaign_version.values), met, {}, frozenset())[0]
        if met
        else None
    )


def holds(trigger: Any, event: Event) -> bool:
    try:
        return bool(trigger.rule(event.typed, {}, frozenset()))
    except RuleError:
        return False


class Ledger:
    """All instances there are, and what a batch is given of them: what lock_instances.sql says."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], Instance] = {}

    def lock(self, wanted: InstancesToLock, *, by_routes: bool) -> dict[Any, list[Instance]]:
        return {
            quest: [each for each in self.rows.values() if not by_routes or self._is_found(each, quest, wanted)]
            for quest in wanted.quests
        }

    def _is_found(self, each: Instance, quest: Any, wanted: InstancesToLock) -> bool:
        first = wanted.quests[quest].first
        asked = (quest, each.key) in wanted.keys
        newest = max(row.occurrence for row in self.rows.values() if row.key == each.key)
        if each.state == "open":
            return quest in wanted.whole or (quest, each.route) in wanted.routes or asked
        lapsed = each.state == "lapsed" and each.ends_at is not None and each.ends_at >= first
        return lapsed or (asked and each.occurrence == newest)

    def play(self, matches: Sequence[Match], *, by_routes: bool) -> list[tuple[str, list[str], str | None]]:
        wanted = list_instances_to_lock(matches)
        quests = InstanceBatch(self.lock(wanted, by_routes=by_routes))
        if growing := quests.list_growing(wanted):
            quests.count({q: sum(row.is_waiting(first) for row in self.rows.values()) for q, first in growing.items()})
        told = []
        for match in matches:
            for candidate in match.candidates:
                done, refused = quests.advance(match.event, candidate)
                told.append((match.event.event_id, [each.name for each, _ in done], refused.name if refused else None))
        self.rows.update({(place.key, place.occurrence): row for place, row in quests.changed.items()})
        return told

    def show(self) -> dict[tuple[str, int], Instance]:
        """What decides: a mark of having lapsed does not."""
        return {n: replace(row, state="open") if row.is_unfinished else row for n, row in self.rows.items()}


def find_all(shelf: UserInstances, _: object) -> list[Instance]:
    return list(shelf.instances.values())


@settings(max_examples=400, deadline=None)
@given(versions(), BATCHES, st.sampled_from([2, 100, 100]))
def test_an_event_finds_every_instance_that_it_does_anything_to(
    made: list[CampaignVersion], batches: Any, together: int
):
    by_routes, by_force = Ledger(), Ledger()
    retained: list[CampaignVersion] = []
    newest, *later = made
    number = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(life, "MAX_TOGETHER", together)
        for policy, burst in batches:
            matches = []
            for told in burst:
                number += 1
                matches.append(write_match(join_versions([*retained, newest]), number, told))
            found = by_routes.play(matches, by_routes=True)
            with pytest.MonkeyPatch.context() as force:
                force.setattr(UserInstances, "find", find_all)
                assert by_force.play(matches, by_routes=False) == found
            assert by_routes.show() == by_force.show()
            if later:
                retained = [*retained, newest] if policy == "keep" else []
                newest, *later = later


@given(st.lists(st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.floats(), st.text()), max_size=2))
def test_what_compares_as_equal_has_one_route(values: list[Any]):
    kinds = {bool: "bool", int: "number", float: "number"}
    for one in values:
        for other in [*values, *([float(one)] if type(one) is int else [])]:
            if kinds.get(type(one), type(one)) == kinds.get(type(other), type(other)) and one == other:
                assert hash_route(("x",), one) == hash_route(("x",), other) != EVERYWHERE


def find(*rules: str) -> object:
    campaign_version = define(rules, 1, (True, False, "event", "event", None, 0, 1))
    return path_of(campaign_version)


@pytest.mark.parametrize(
    ("rules", "path"),
    [
        (["event.post == start.post"], ("post",)),
        (["start.post == event.other && event.n > 1", "event.n == 1 && (true && event.post == start.post)"], ("post",)),
        (["event.n == start.n && event.post == start.post", "event.post == start.post"], ("post",)),
        (["event.post == start.post", "event.n == start.n"], None),
        (["event.post == start.post", "true"], None),
        (["event.post == start.post || event.n == 1"], None),
        (["!(event.post == start.post)"], None),
        (["event.at.x == start.at.x"], ("at", "x")),
        (["start.n == progress.done"], None),
    ],
)
def test_a_quest_is_routed_by_what_the_rules_of_all_its_steps_want_to_equal(rules: Iterable[str], path: object):
    assert find(*rules) == path


def test_an_event_looks_at_the_instances_of_its_value_alone():
    campaign_version = define(("event.post == start.post",), 1, (True, False, "event", "event", None, 0, 2))
    ledger = Ledger()
    ledger.play([write_match(campaign_version, n, ("POST", 0, {"post": f"p{n}"})) for n in range(50)], by_routes=True)
    wanted = list_instances_to_lock([write_match(campaign_version, 99, ("LIKE", 1, {"post": "p7"}))])
    ((_, found),) = ledger.lock(wanted, by_routes=True).items()
    assert [each.start_event_id for each in found] == ["e7"]


def test_a_user_has_at_most_so_many_instances_open_of_a_quest_with_a_route(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(life, "MAX_OPEN", 3)
    campaign_version = define(
        ("event.post == start.post",), 1, (True, True, "first_step", Keyed("event.post"), None, 0, 2)
    )
    ledger = Ledger()
    posts = ["a", "b", "c", "d", "a", "d", "e"]
    told = ledger.play(
        [write_match(campaign_version, n, ("LIKE", 0, {"post": p})) for n, p in enumerate(posts)], by_routes=True
    )
    assert [(done, refused) for _, done, refused in told] == [
        *[([], None)] * 3,
        ([], "d#1"),
        (["a#1"], None),
        ([], None),
        ([], "e#1"),
    ]


def test_instances_marked_as_lapsed_are_among_the_most_while_they_still_take_events(monkeypatch: pytest.MonkeyPatch):
    """In a history: the mark decides nothing."""
    monkeypatch.setattr(life, "MAX_OPEN", 3)
    campaign_version = define(
        ("event.post == start.post",), 1, (True, True, "first_step", Keyed("event.post"), 10, 0, 2)
    )
    told = [(0, "a"), (0, "b"), (11, "a"), (5, "c"), (20, "c")]
    by_batches = Ledger()
    refused = [
        refused
        for n, (at_s, post) in enumerate(told)
        for *_, refused in by_batches.play(
            [write_match(campaign_version, n, ("LIKE", at_s, {"post": post}))], by_routes=True
        )
    ]
    assert refused == [None, None, None, "c#1", None]
