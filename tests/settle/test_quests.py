"""Quest instances in the ledger: several at once, across batches, with rules that read the instance."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from msgspec import json
from msgspec.structs import replace

from fillip.core.book.book import Action
from fillip.core.book.version import CampaignVersion, list_triggers
from fillip.core.campaign.campaign import CheckedExpression
from fillip.core.campaign.quest import Quest, Start, Step
from fillip.core.campaign.reward import Reward
from fillip.core.campaign.vocabulary import TypeContext
from fillip.core.errors import Retry
from fillip.core.event import Event
from fillip.core.identity import identify_event, name_key
from fillip.core.match.candidate import Candidate, Match
from fillip.core.match.quest_candidate import build_quest_candidate
from fillip.core.match.reward_values import RewardValues
from fillip.core.quest import instance
from fillip.core.quest.instance import MAX_TOGETHER
from fillip.core.schema.reader import build_event_coercer
from fillip.core.schema.types import derive_event_type
from fillip.manage.campaign.expressions import check_expression
from fillip.settle import Settle
from fillip.settle.postgres import PostgresLedger, PostgresTransaction
from fillip.settle.stage import Outcome
from fillip.stream.belt import Batch
from tests.builders import build_campaign, build_version
from tests.settle.conftest import World

SCHEMA = {"type": "object", "properties": {"offer": {"type": "integer"}, "cents": {"type": "integer"}}}
SHAPES = dict.fromkeys(("OFFER", "BUY"), derive_event_type(SCHEMA))
READ = build_event_coercer(SCHEMA)
DISCOUNT = Quest(
    steps=(Step("spend", "BUY", sum="event.cents", at_least=1000),),
    start=Start("event", "OFFER", "event.offer == 1"),
    instance="event",
    window_s=100,
)


class Offers:
    """Campaigns over OFFER and BUY, whose rules run as in match."""

    def __init__(self, world: World, **quests: Quest) -> None:
        self.world = world
        self.campaign_versions = [self._check(name, quest) for name, quest in quests.items()]

    def _check(self, name: str, quest: Quest) -> CampaignVersion:
        campaign = build_campaign(name=name, rewards=(Reward("points", 5),), quest=quest)
        checked: dict[str, CheckedExpression] = {
            each.path: check_expression(each, TypeContext(SHAPES)) for each in campaign.expressions
        }
        return build_version(name, campaign, checked=checked)

    def event(self, event_id: str, action: str, at: int, *, source: str = "/till", **attributes: Any) -> Match:
        """A match of one event of user u1 `at` seconds after T0."""
        match = self.world.match(event_id, after=timedelta(seconds=at), source=source, **attributes)
        actions = {name: Action(name, SCHEMA, READ) for name in SHAPES}
        book = replace(match.event.book, actions=actions)
        typed = READ(attributes, match.event.occurred_at)
        event = replace(match.event, action=action, typed=typed, book=book)
        candidates = [
            c for campaign_version in self.campaign_versions if (c := self._nominate(event, campaign_version))
        ]
        return replace(match, event=event, candidates=candidates)

    def _nominate(self, event: Event, campaign_version: CampaignVersion) -> Candidate | None:
        met = [
            r
            for r in list_triggers(campaign_version)
            if r.expression.action == event.action and r.rule(event.typed, {}, frozenset())
        ]
        return (
            build_quest_candidate(event, (), RewardValues(campaign_version.values), met, {}, frozenset())[0]
            if met
            else None
        )


def granted(world: World) -> Sequence[tuple[object, ...]]:
    return world.rows(
        "SELECT d.event_id, d.campaign_id, regexp_replace(d.instance, '@[0-9a-f]{32}#', '#') FROM decision d JOIN incentive i USING (tenant_id, decision_id)"
        " WHERE outcome = 'granted' ORDER BY i.inbox_seq"
    )


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "a batch each"])
async def test_one_purchase_completes_open_instances_in_order_of_their_start(world: World, together: bool):
    bogo = replace(DISCOUNT, steps=(Step("buy", "BUY", "event.cents > 500"),), start=Start("event", "OFFER"))
    offers = Offers(world, a_bogo=bogo, discount=DISCOUNT)
    events = [
        offers.event("r1", "OFFER", 0, offer=1, cents=0),
        offers.event("r2", "OFFER", 0, offer=1, cents=0),
        offers.event("p1", "BUY", 1, offer=0, cents=400),
        offers.event("r3", "OFFER", 2, offer=2, cents=0),
        offers.event("p2", "BUY", 100, offer=0, cents=600),
    ]
    for batch in [events] if together else [[event] for event in events]:
        await world.play(*batch)
    assert granted(world) == [
        ("p2", "a_bogo", "r1#1"),
        ("p2", "discount", "r1#1"),
        ("p2", "a_bogo", "r2#1"),
        ("p2", "discount", "r2#1"),
        ("p2", "a_bogo", "r3#1"),
    ]
    met = world.rows(
        "SELECT event_id, amount, step FROM quest_step_met JOIN event_met USING (tenant_id, event_key)"
        " WHERE instance_key LIKE 'r1@%' AND campaign_id = 'discount'"
        " ORDER BY sequence"
    )
    assert met == [("p1", 400, "spend"), ("p2", 600, "spend")]


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "a batch each"])
async def test_a_rule_reads_the_enrolling_event_and_the_progress(world: World, together: bool):
    rule = "event.offer == start.offer && event.cents > progress.done * 100"
    quest = replace(DISCOUNT, steps=(Step("buy", "BUY", rule, count=2),), start=Start("event", "OFFER"))
    offers = Offers(world, rising=quest)
    events = [
        offers.event("r7", "OFFER", 0, offer=7, cents=0),
        offers.event("r8", "OFFER", 0, offer=8, cents=0),
        offers.event("p1", "BUY", 1, offer=7, cents=50),
        offers.event("p2", "BUY", 2, offer=7, cents=100),
        offers.event("p3", "BUY", 3, offer=7, cents=101),
    ]
    for batch in [events] if together else [[event] for event in events]:
        await world.play(*batch)
    assert granted(world) == [("p3", "rising", "r7#1")]
    assert world.rows("SELECT start_event_id, steps #>> '{0,done}' FROM quest_instance WHERE state = 'open'") == [
        ("r8", "0")
    ]


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "a batch each"])
async def test_a_rule_reads_when_the_enrolling_event_happened(world: World, together: bool):
    rule = "event.time - start.time < duration('20s') && event.time.getSeconds() != 2"
    soon = replace(DISCOUNT, steps=(Step("buy", "BUY", rule),))
    offers = Offers(world, soon=soon)
    events = [
        offers.event("r1", "OFFER", 0, offer=1),
        offers.event("r2", "OFFER", 10, offer=1),
        offers.event("p1", "BUY", 2),
        offers.event("p2", "BUY", 25),
        offers.event("p3", "BUY", 30),
    ]
    for batch in [events] if together else [[event] for event in events]:
        await world.play(*batch)
    assert granted(world) == [("p2", "soon", "r2#1")]


async def test_an_instance_over_the_most_that_may_be_open_is_denied_with_the_reason(world: World):
    offers = Offers(world, discount=DISCOUNT)
    await world.play(*[offers.event(f"r{n}", "OFFER", 0, offer=1, cents=0) for n in range(MAX_TOGETHER)])
    await world.play(offers.event("more", "OFFER", 0, offer=1, cents=0))
    key = name_key("more", identify_event("acme", "/till", "more"))
    assert world.rows("SELECT event_id, instance, outcome, reason FROM decision") == [
        ("more", f"{key}#1", "denied", "too_many_open")
    ]
    assert world.rows("SELECT count(*) FROM quest_instance") == [(MAX_TOGETHER,)]


async def test_a_lapsed_instance_is_opened_again_by_an_event_inside_its_window(world: World):
    offers = Offers(world, discount=DISCOUNT)
    await world.play(offers.event("r", "OFFER", 0, offer=1, cents=0), offers.event("p1", "BUY", 101, offer=0, cents=1))
    assert world.rows("SELECT state FROM quest_instance") == [("lapsed",)]
    await world.play(offers.event("p2", "BUY", 100, offer=0, cents=1000))
    assert granted(world) == [("p2", "discount", "r#1")]


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "a batch each"])
async def test_a_quest_that_is_not_repeatable_is_completed_once_in_a_history_out_of_order(world: World, together: bool):
    quest = Quest(steps=(Step("buy", "BUY", "event.cents > 500", count=2),), window_s=100)
    offers = Offers(world, twice=quest, again=replace(quest, repeatable=True))
    times = [0, 500, 1, 501]
    events = [offers.event(f"p{n}", "BUY", at, offer=0, cents=600) for n, at in enumerate(times)]
    for batch in [events] if together else [[event] for event in events]:
        await world.play(*batch)
    assert sorted(granted(world)) == [("p2", "again", "1"), ("p3", "again", "2"), ("p3", "twice", "2")]
    assert world.rows("SELECT state FROM quest_instance WHERE campaign_id = 'twice' ORDER BY occurrence") == [
        ("closed",),
        ("completed",),
    ]


async def test_the_most_that_may_be_open_counts_those_marked_as_lapsed_that_still_take_events(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(instance, "MAX_OPEN", 2)
    rule = "event.offer == start.offer"
    quest = replace(DISCOUNT, steps=(Step("buy", "BUY", rule, count=2),), start=Start("event", "OFFER"))
    offers = Offers(world, routed=quest)
    at = {"a": 0, "b": 0, "later": 101, "before": 5}
    for number, (event_id, after) in enumerate(at.items()):
        await world.play(offers.event(event_id, "OFFER", after, offer=number, cents=0))
    assert world.rows("SELECT start_event_id, state FROM quest_instance ORDER BY 1") == [
        ("a", "lapsed"),
        ("b", "lapsed"),
        ("later", "open"),
    ]
    assert world.rows("SELECT event_id, reason FROM decision") == [("before", "too_many_open")]


class Meddler:
    """The ledger of another worker, which settles a batch of its own whenever ours is about to write."""

    def __init__(self, ledger: PostgresLedger, meanwhile: Callable[[], Awaitable[None]]) -> None:
        self._ledger = ledger
        self._meanwhile = meanwhile

    @asynccontextmanager
    async def open(self) -> AsyncIterator[PostgresTransaction]:
        async with self._ledger.open() as transaction:
            write = transaction.write

            async def write_late(batch: Batch, outcome: Outcome) -> None:
                await self._meanwhile()
                await write(batch, outcome)

            transaction.write = write_late  # type: ignore[method-assign]
            yield transaction


async def test_a_step_that_another_worker_counts_meanwhile_is_not_lost(world: World):
    """Given a user's events in two partitions, when two workers open the same instance at once, then the later one is told
    to try again, and both steps count."""
    pair = Quest(steps=(Step("buy", "BUY"), Step("look", "BUY")), ordered=False)
    here, there = world.match("e1", quest=pair, steps=(0,)), world.match("e2", quest=pair, steps=(1,), partition=1)

    async def meanwhile() -> None:
        await world.play(there)

    late = Settle(Meddler(PostgresLedger(world.pool, "late"), meanwhile), lambda *told: None)
    with pytest.raises(Retry, match="made a quest instance"):
        await late(world.batch(here), [here])
    await world.play(here)
    assert world.rows("SELECT state, steps #>> '{0,done}', steps #>> '{1,done}' FROM quest_instance") == [
        ("completed", "1", "1")
    ]
    assert granted(world) == [("e1", "give", "1")]


async def test_each_event_of_one_id_has_an_instance_of_its_own(world: World):
    """Given two shops that number their offers from 1, when a purchase completes both, then one is taken back alone."""
    offers = Offers(world, discount=DISCOUNT)
    opened = [offers.event("1", "OFFER", 0, source=source, offer=1, cents=0) for source in ("/shop-1", "/shop-2")]
    await world.play(*opened, offers.event("p1", "BUY", 1, offer=1, cents=1000))
    assert granted(world) == [("p1", "discount", "1#1"), ("p1", "discount", "1#1")]
    assert world.rows("SELECT start_event_id, start_event_source, occurrence FROM quest_instance ORDER BY 2") == [
        ("1", "/shop-1", 1),
        ("1", "/shop-2", 1),
    ]
    definition = build_campaign(name="discount", rewards=(Reward("points", 5),), quest=DISCOUNT)
    for statement, values in (
        ("INSERT INTO campaign (tenant_id, campaign_id, state, version) VALUES ('acme', 'discount', 'running', 1)", []),
        ("INSERT INTO campaign_version VALUES ('acme', 'discount', 1, %s, '{}')", [json.encode(definition).decode()]),
    ):
        world.owner.execute(statement, values)
    await world.play(world.reversal("r1", "1", source="/shop-2"))
    assert world.rows("SELECT start_event_source, state FROM quest_instance ORDER BY 1") == [
        ("/shop-1", "completed"),
        ("/shop-2", "reversed"),
    ]
