"""A match narrowed to what bears on one campaign: that campaign is granted, or denied, as in the whole match."""

import random
from collections.abc import Sequence

from msgspec import json
from msgspec.structs import replace

from fillip.core.ledger.settlement import Settled
from fillip.core.limit import Counter
from fillip.core.ports import StoredUser
from fillip.manage.eligibility.ledger import LedgerState, list_needed, settle_on_paper
from fillip.manage.eligibility.narrow import Narrowing
from fillip.match import meet_alone
from tests.manage.eligibility_world import COHORTS, NOW, Ledger, draw_book, draw_cart


def test_a_campaign_comes_to_the_same_whether_what_does_not_bear_on_it_is_settled_or_not() -> None:
    dice, dropped, denied = random.Random(5), 0, 0
    for number in range(80):
        book = draw_book(dice)
        ledger = Ledger(number, book)
        stored = StoredUser(1, json.encode({"tier": "gold"}))
        for event in (draw_cart(dice, book) for _ in range(5)):
            if (match := meet_alone(event, stored, COHORTS)) is None:
                continue
            state = ledger.read(list_needed([match]))
            whole = settle_on_paper(match, state, NOW).settled
            for candidate in match.candidates:
                asked = candidate.campaign_version.campaign_id
                narrowed = Narrowing(book, state.counters).narrow(match, {asked})
                dropped += len(match.candidates) - len(narrowed.candidates)
                mine = _list_of(settle_on_paper(narrowed, state, NOW).settled, asked)
                assert mine == _list_of(whole, asked), (number, asked)
                denied += sum(outcome == "denied" for outcome, _, _ in mine)
    assert min(dropped, denied) > 100


def test_a_counter_that_was_not_read_may_be_short() -> None:
    dice = random.Random(6)
    book = next(book for book in iter(lambda: draw_book(dice), None) if "user" in book.limits)
    book = replace(book, limits={"user": replace(book.limits["user"], cap=10**6)})
    event = next(
        e
        for e in iter(lambda: draw_cart(dice, book), None)
        if (m := meet_alone(e, None, COHORTS)) and len(m.candidates) > 2
    )
    match = meet_alone(event, None, COHORTS)
    assert match
    some = next(each for each in match.candidates if each.charges and not each.campaign_version.campaign.exclusive)
    asked = {some.campaign_version.campaign_id}
    charging = sum(bool(each.charges) for each in match.candidates)
    known = LedgerState(counters={charge.counter: Counter(0, 0) for charge in match.charges})
    assert len(Narrowing(book, {}).narrow(match, asked).candidates) >= charging > 1
    assert len(Narrowing(book, known.counters).narrow(match, asked).candidates) == 1


def _list_of(settled: Sequence[Settled], campaign_id: str) -> list[tuple[str, str, tuple[int, ...]]]:
    return [
        (each.decision.outcome, each.decision.reason, tuple(each.request.values))
        for each in settled
        if each.request.campaign_version.campaign_id == campaign_id
    ]
