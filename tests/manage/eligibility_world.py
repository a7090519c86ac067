"""Random books, carts and ledgers in memory: whether each near miss that is told is granted when it is decided again, and not with one unit less."""

import random
from collections import Counter as Tally
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import cache
from hashlib import blake2b
from typing import Any

from msgspec import json
from msgspec.structs import replace

from fillip.core.book.book import Action, Book, index_triggers
from fillip.core.book.version import CampaignVersion
from fillip.core.campaign.campaign import Campaign, CampaignState, CheckedExpression, Exclusive
from fillip.core.campaign.formula import Formula
from fillip.core.campaign.quest import Quest, Step
from fillip.core.campaign.reward import Reward
from fillip.core.event import Event
from fillip.core.limit import Counter, CounterKey, Limit, Over
from fillip.core.ports import StoredUser
from fillip.core.quest.instance import Instance
from fillip.core.quest.step import fresh_steps
from fillip.core.schema.coerce import build_coercer
from fillip.core.schema.reader import build_event_reader
from fillip.core.schema.types import derive_event_type, derive_type
from fillip.manage.eligibility.ledger import LedgerState, Needed, list_needed, settle_on_paper
from fillip.manage.eligibility.near import Amounts, NearMiss
from fillip.manage.eligibility.trial import begin, try_amounts, weigh_misses
from fillip.manage.rule.checker import check_rule
from fillip.match import meet_alone
from tests.builders import build_event, build_tenant

NOW = datetime.fromisoformat("2026-11-28T10:00:00+00:00")
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["qty", "price", "kind", "tags"],
    "properties": {
        "qty": {"type": "integer", "maximum": 45},
        "stock": {"type": ["integer", "null"]},
        "price": {"type": "number"},
        "kind": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 5},
    },
}
USER_SCHEMA = {"type": "object", "properties": {"tier": {"type": "string"}}}
COHORTS = frozenset({"vip"})
FORMS = (
    "event.qty >= {n}",
    "event.qty > {n} && event.price >= {x}",
    "event.price > {x} || event.qty >= {n}",
    "event.stock >= {n} && event.qty < {m}",
    "event.qty >= {n} && event.qty < {m}",
    "event.qty >= {n} && event.qty != {m}",
    'event.kind == "{k}" && event.qty >= {n}',
    'event.kind in ["a", "b"] && event.price >= {x}',
    "event.qty * 2 >= {m} && event.price > {x}",
    "event.qty >= {n} && event.tags.size() > 1",
    'user.tier == "gold" && event.qty >= {n}',
    '"vip" in cohorts && event.price >= {x}',
    "event.qty % 7 == 3 || event.qty >= {m}",
    "event.tags.exists(tag, tag == 'x') && event.stock > {n}",
    "!(event.qty < {n}) && event.price < {y}",
)
SHAPE, USER = derive_event_type(SCHEMA), derive_type(USER_SCHEMA)


@cache
def check(source: str, *, is_rule: bool) -> CheckedExpression:
    """As saving does."""
    found = check_rule(source, SHAPE, USER, expect="bool" if is_rule else "int")
    return CheckedExpression(found.checked, found.uses_user, found.uses_cohorts)


def draw_rule(dice: random.Random) -> str:
    """A rule with thresholds."""
    n, m, x = dice.randrange(1, 40), dice.randrange(2, 50), dice.choice([0.5, 3.25, 10.0, 19.99, 30.0])
    return dice.choice(FORMS).format(n=n, m=m, x=x, y=x + 5.0, k=dice.choice("abc"))


def draw_campaign(dice: random.Random, number: int) -> CampaignVersion:
    """A campaign of any kind."""
    reward = Reward("points", value=dice.randrange(1, 9), currency="POINTS")
    checked, formula = {}, Formula("event.qty", percent="50", rounding="down") if dice.random() < 0.2 else None
    reward = replace(reward, formula=formula, value=0) if formula else reward
    if dice.random() < 0.1:
        reward = Reward("coupon", pool="ten") if dice.random() < 0.5 else Reward("badge", badge="star")
    quest = (
        Quest((Step("buy", "BUY", rule=draw_rule(dice), count=dice.choice([1, 2])),)) if dice.random() < 0.12 else None
    )
    campaign = Campaign(
        kind="QUEST" if quest else "SIMPLE",
        name=f"c{number}",
        rewards=(reward,),
        action=None if quest else "BUY",
        rule="true" if quest else draw_rule(dice),
        quest=quest,
        cohorts=("vip",) if dice.random() < 0.1 else ("nobody",) if dice.random() < 0.05 else (),
        priority=dice.randrange(3),
        exclusive=Exclusive(f"g{dice.randrange(2)}", dice.choice(["priority", "value"]))
        if dice.random() < 0.25
        else None,
    )
    if campaign.exclusive is None and dice.random() < 0.02:
        campaign = replace(campaign, stackable=False)
    for expression in campaign.expressions:
        checked[expression.path] = check(expression.source, is_rule=expression.is_rule)
    states: Sequence[CampaignState] = ("running", "paused", "shadow")
    (state,) = dice.choices(states, [92, 5, 3])
    return CampaignVersion(f"c{number:02}", 1, state, campaign, checked)


def draw_book(dice: random.Random) -> Book:
    """Some campaigns, and limits of all scopes."""
    versions = {each.campaign_id: each for each in (draw_campaign(dice, n) for n in range(dice.randrange(2, 14)))}
    limits = [Limit("user", "user", "count", "day", dice.choice([1, 2, 3, 5_000]))] if dice.random() < 0.5 else []
    if dice.random() < 0.3:
        over: Over = "refuse" if dice.random() < 0.5 else "partial"
        cap = dice.choice([4, 20, 10**14])
        limits.append(
            Limit("points", "tenant", "value", "month", cap, reward_kind="points", currency="POINTS", over=over)
        )
    for campaign_id in dice.sample(sorted(versions), dice.randrange(2)):
        limits.append(Limit(f"of-{campaign_id}", "user_in_campaign", "count", "lifetime", 1, campaign_id=campaign_id))
    return Book(
        tenant=build_tenant(clock="live", time_zone="Europe/Berlin"),
        version=1,
        actions={"BUY": Action("BUY", SCHEMA, build_event_reader(SCHEMA))},
        read_user=build_coercer(USER),
        campaign_versions=versions,
        by_action=index_triggers(versions.values(), {}, "Europe/Berlin"),
        limits={limit.limit_id: limit for limit in limits},
        cohorts={},
    )


def draw_cart(dice: random.Random, book: Book) -> Event:
    """A purchase, with amounts below and above thresholds."""
    attributes: dict[str, Any] = {
        "qty": dice.randrange(46),
        "price": dice.choice([0.25, 3.25, 9.99, 19.98, 40.0]),
        "kind": dice.choice("abc"),
        "tags": dice.sample(["x", "y", "z"], dice.randrange(4)),
    }
    if dice.random() < 0.8:
        attributes["stock"] = dice.randrange(46)
    typed = book.actions["BUY"].read(attributes, NOW)
    return build_event(book, user_id="ada", at=NOW, attributes=attributes, typed=typed)


class Ledger:
    """What is used, free and held: by chance, and the same however often it is asked."""

    def __init__(self, seed: int, book: Book) -> None:
        self._seed, self._book = seed, book

    def read(self, needed: Needed) -> LedgerState:
        """As read_ledger."""
        counters = {charge.counter: Counter(self._draw(charge.counter), 1) for charge in needed.charges}
        codes = {pool: min(self._roll("codes", 3), wanted) for pool, wanted in needed.codes.items()}
        badges = [badge for badge in needed.badges if self._roll("badge", 2)]
        return LedgerState(counters, codes, badges, {quest: self._list_instances(*quest) for quest in needed.quests})

    def _draw(self, counter: CounterKey) -> int:
        return self._roll(counter.limit_id, 4)

    def _list_instances(self, _: str, quest_id: str, __: str) -> Sequence[Instance]:
        version = self._book.campaign_versions.get(quest_id)
        if version is None or version.campaign.quest is None or not self._roll(quest_id, 2):
            return ()
        step, *_rest = fresh_steps(version.campaign.quest)
        begun = replace(step, done=step.needed - 1, total=step.needed - 1, left=step.needed - 1)
        at = NOW - timedelta(hours=1)
        return [Instance("", 1, 1, "open", at, None, None, None, None, 0, (begun,))]

    def _roll(self, name: str, sides: int) -> int:
        return int.from_bytes(blake2b(f"{self._seed} {name}".encode(), digest_size=4).digest()) % sides


def list_near_misses(event: Event, stored: StoredUser, ledger: Ledger) -> list[NearMiss]:
    """As the API tells them."""
    begun = begin(event, stored, COHORTS, meet_alone)
    state = ledger.read(begun.needed)
    weighed = weigh_misses(begun, stored, COHORTS, meet_alone, state, NOW)
    again = try_amounts(weighed, state.join(ledger.read(weighed.needed)), NOW) if weighed.tried else []
    return [*weighed.sure, *again]


def decide_again(event: Event | None, stored: StoredUser, ledger: Ledger) -> set[str]:
    """The campaigns that are granted for an event; none for one that its schema refuses."""
    match = meet_alone(event, stored, COHORTS) if event else None
    if match is None:
        return set()
    paper = settle_on_paper(match, ledger.read(list_needed([match])), NOW)
    return {e.request.campaign_version.campaign_id for e in paper.settled if e.decision.outcome == "granted"}


def check_near_misses(seed: int, *, books: int, carts: int, wanted: int = 10**9) -> tuple[Tally[str], list[str]]:
    """(how many there were, of campaigns in groups and under limits too; those that are wrong, in words)."""
    dice, told, wrong = random.Random(seed), Tally[str](), list[str]()
    for number in range(books):
        book = draw_book(dice)
        ledger = Ledger(seed + number, book)
        for _ in range(carts):
            event = draw_cart(dice, book)
            stored = StoredUser(1, json.encode({"tier": dice.choice(["gold", "basic"])}))
            told["carts"] += 1
            for miss in list_near_misses(event, stored, ledger):
                told["near"] += 1
                told["grouped"] += miss.campaign_version.campaign.exclusive is not None
                told["limited"] += bool(miss.charges)
                wrong += _check_one(event, miss, stored, ledger)
        if told["near"] >= wanted:
            break
    return told, wrong


def _check_one(event: Event, miss: NearMiss, stored: StoredUser, ledger: Ledger) -> list[str]:
    name, near = miss.campaign_version.campaign_id, miss.near
    amounts = Amounts(event)
    said = f"{name} ({miss.campaign_version.campaign.rule}) with {near} for {dict(event.attributes)}"
    faults: list[Callable[[], str | None]] = [
        lambda: None if near.have < near.need else "needs no more than it has",
        lambda: None if name in decide_again(amounts.put(near.path, near.need), stored, ledger) else "is not granted",
        lambda: (
            "is granted with less" if name in decide_again(amounts.put(near.path, near.less), stored, ledger) else None
        ),
        lambda: None if name not in decide_again(event, stored, ledger) else "is granted as it is",
    ]
    return [f"{fault}: {said}" for each in faults if (fault := each())]
