"""The ledger of a backtest: whatever its portions, it decides the same."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from fillip.core.backtest.simulation import Simulation
from fillip.core.book.book import Book
from fillip.core.campaign.quest import Quest, Start, Step
from fillip.core.campaign.reward import Reward
from fillip.core.match.candidate import Candidate, Match
from tests.builders import T0, build_book, build_campaign, build_event, build_tenant, build_version

HOUR_S = 3600
HAPPENED = st.tuples(st.integers(0, 40), st.sampled_from("ab"), st.sampled_from(["ann", "bob"]))
"""(hour, key, user)"""


def build_quest_book(*, clock: str, lateness_s: int, repeatable: bool) -> Book:
    """A quest of two purchases within three hours, for each key."""
    quest = Quest(
        (Step("buy", "BUY", count=2),),
        Start("first_step"),
        window_s=3 * HOUR_S,
        lateness_s=lateness_s,
        repeatable=repeatable,
    )
    campaign = build_campaign(quest=quest, rewards=(Reward("points", 5),))
    return build_book(build_version("two", campaign), tenant=build_tenant(clock=clock))


def list_matches(book: Book, told: Sequence[tuple[int, str, str]], late_hours: Sequence[int]) -> Iterator[Match]:
    """Received in this order, each so many hours after it happened."""
    [version] = book.campaign_versions.values()
    for number, ((hour, key, user), late) in enumerate(zip(told, late_hours, strict=True)):
        at = T0 + timedelta(hours=hour)
        event = build_event(book, f"e{number}", user_id=user, at=at, received_at=at + timedelta(hours=late))
        yield Match(event, [Candidate(version, values=(5,), steps=(0,), key=key)])


def decide(book: Book, matches: Sequence[Match], portion: int) -> Sequence[tuple[str, str, str]]:
    """What completed which instance, and what came of it."""
    simulation, said = Simulation(book, {}, T0), []
    for start in range(0, len(matches), portion):
        some = matches[start : start + portion]
        simulation.begin(some)
        said += [
            (each.request.match.event.event_id, each.request.instance, each.decision.outcome)
            for each in simulation.decide(some, {})
        ]
    return said


@given(
    st.lists(HAPPENED, max_size=40),
    st.sampled_from(["live", "history"]),
    st.sampled_from([0, 2 * HOUR_S, 30 * HOUR_S]),
    st.booleans(),
    st.randoms(),
)
def test_what_is_over_for_one_portion_is_asked_again_where_it_is_not_for_the_next(
    told, clock, lateness_s, repeatable, luck
):
    book = build_quest_book(clock=clock, lateness_s=lateness_s, repeatable=repeatable)
    late = [luck.choice([0, 0, 1, 5]) for _ in told]
    matches = list(list_matches(book, told, late))
    whole = decide(book, matches, len(matches) or 1)
    assert decide(book, matches, 1) == whole
    assert decide(book, matches, 3) == whole


def test_an_instance_that_lapsed_takes_an_event_of_its_window_that_is_told_later():
    """In a history, whose clock goes back: the first stays at hour 0, the second begins at hour 9."""
    book = build_quest_book(clock="history", lateness_s=0, repeatable=True)
    matches = list(list_matches(book, [(hour, "a", "ann") for hour in (0, 9, 10, 1)], [0] * 4))
    assert decide(book, matches, 1) == [("e2", "a#2", "granted"), ("e3", "a#1", "granted")]
