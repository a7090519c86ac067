"""Tallies of cohorts by events against a plain recount of all events, whatever their order and however often they come."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from fillip.core.tally import MAX_KEPT, SPARE, CohortRule, Tally, Term, make_term, unpack_tally

T0 = datetime(2026, 3, 1, tzinfo=UTC)
SECONDS = st.integers(0, 400)


@st.composite
def histories(draw: st.DrawFn) -> tuple[CohortRule, list[tuple[int, Term]]]:
    """A rule, and events in the order in which they come: when each comes, how long after its own time, some again."""
    has_sum = draw(st.booleans())
    rule = CohortRule(
        "BUY",
        sum="event.amount" if has_sum else None,
        at_least=draw(st.integers(1, 30 if has_sum else 5)),
        window_s=draw(st.none() | st.integers(1, 200)),
    )
    coming = []
    for key in range(draw(st.integers(0, 12))):
        happened, late = draw(SECONDS), draw(st.integers(-5, 100))
        amount = draw(st.integers(-5, 20)) if has_sum else 1
        term = make_term(T0 + timedelta(seconds=happened), UUID(int=key), amount)
        coming += [(happened + late + again, term) for again in draw(st.lists(SECONDS, max_size=2)) or [0]]
    return rule, sorted(coming)


def recount(rule: CohortRule, events: dict[int, Term], at: datetime) -> bool:
    """By the words of the rule."""
    counting = [e for e in events.values() if rule.window_s is None or e.at > at - timedelta(seconds=rule.window_s)]
    return sum(max(0, event.amount) for event in counting) >= rule.at_least


@given(histories(), SECONDS)
def test_who_is_in_it_is_who_a_recount_of_all_events_finds(
    history: tuple[CohortRule, list[tuple[int, Term]]], later: int
) -> None:
    rule, coming = history
    tally, known, at = Tally(), dict[int, Term](), T0
    for second, term in coming:
        at = T0 + timedelta(seconds=second)
        tally = unpack_tally(tally.add([term], rule, at).pack())
        known[term.key] = term
        standing = tally.stand(rule, at)
        assert standing.is_member == recount(rule, known, at)
        assert len(tally.terms) <= max(rule.at_least, 1) + SPARE

    standing, then = tally.stand(rule, at), at + timedelta(seconds=later)
    is_still_in = standing.is_member and (standing.leaves_at is None or standing.leaves_at > then)
    assert is_still_in == recount(rule, known, then)
    if standing.forget_at and standing.forget_at <= then:
        assert not tally.add([], rule, then).terms


@given(histories(), st.randoms(use_true_random=False))
def test_a_tally_is_the_same_in_whatever_order_and_pieces_its_events_come(
    history: tuple[CohortRule, list[tuple[int, Term]]], random: object
) -> None:
    rule, coming = history
    at, terms = T0 + timedelta(seconds=500), [term for _, term in coming]
    whole = Tally().add(terms, rule, at)
    random.shuffle(terms)  # type: ignore[attr-defined]
    middle = len(terms) // 2
    assert whole == Tally().add(terms[middle:], rule, at).add(terms[:middle], rule, at).add(terms, rule, at)


@given(histories(), st.data())
def test_what_is_reversed_counts_no_more_whatever_comes_first_and_however_often(
    history: tuple[CohortRule, list[tuple[int, Term]]], data: st.DataObject
) -> None:
    rule, coming = history
    at, events = T0 + timedelta(seconds=300), {term.key: term for _, term in coming}
    parts = st.sampled_from([Fraction(1), Fraction(1, 3), Fraction(2, 3), Fraction(0)])
    shares = {key: data.draw(parts) for key in events if data.draw(st.booleans())}
    some: list[Term | int] = [*(term for _, term in coming), *shares, *shares]
    steps = data.draw(st.permutations(some))
    tally = Tally()
    for step in steps:
        if isinstance(step, Term):
            tally = tally.add([step], rule, at, {step.key: shares[step.key]} if step.key in shares else {})
        else:
            tally = tally.add([], rule, at, {step: shares[step]})
        tally = unpack_tally(tally.pack())
    left = 0
    for key, event in events.items():
        if rule.window_s is None or event.at > at - timedelta(seconds=rule.window_s):
            share = shares.get(key, Fraction(0))
            counts = share == 1 or rule.sum is not None
            left += max(0, event.amount) - int(max(0, event.amount) * share if counts else 0)
    assert tally.stand(rule, at).is_member == (left >= rule.at_least)
    assert tally == Tally().add(events.values(), rule, at, shares)


def test_older_events_stand_in_for_newer_ones_that_are_reversed_twenty_of_them() -> None:
    rule = CohortRule("BUY", at_least=3)
    tally = Tally().add([make_term(T0 + timedelta(seconds=n), UUID(int=n)) for n in range(100)], rule, T0)
    assert len(tally.terms) == 3 + SPARE
    newest = [99 - n for n in range(SPARE + 1)]
    assert tally.add([], rule, T0, dict.fromkeys(newest[:SPARE], Fraction(1))).stand(rule, T0).is_member
    assert not tally.add([], rule, T0, dict.fromkeys(newest, Fraction(1))).stand(rule, T0).is_member


def test_a_sum_looks_at_the_newest_events_alone_where_there_are_too_many() -> None:
    rule = CohortRule("BUY", sum="event.amount", at_least=MAX_KEPT + 1)
    small = [make_term(T0 + timedelta(seconds=n), UUID(int=n)) for n in range(2 * MAX_KEPT)]
    tally = Tally().add(small, rule, T0)
    assert len(tally.terms) == MAX_KEPT and tally.terms[0].key == 2 * MAX_KEPT - 1
    assert not tally.stand(rule, T0).is_member
    assert tally.add([make_term(T0 + timedelta(days=1), UUID(int=9_999), 2)], rule, T0).stand(rule, T0).is_member


def test_an_event_ahead_of_the_clock_counts_at_once_and_a_huge_term_is_kept() -> None:
    rule = CohortRule("BUY", sum="event.amount", at_least=10, window_s=60)
    tally = Tally().add([make_term(T0 + timedelta(seconds=30), UUID(int=1), 2**62)], rule, T0)
    standing = tally.stand(rule, T0)
    assert standing.is_member and standing.leaves_at == T0 + timedelta(seconds=90)
    assert unpack_tally(tally.pack()) == tally
