"""Caps: what fits, what is refused, and that no sequence of claims ever gets over one."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from fillip.core.campaign.reward import Reward
from fillip.core.limit import Counter, CounterKey, Limit, LimitCharge, cut, take, weigh
from fillip.core.match.limit_charges import find_counted


def counter_key(limit_id="budget", user_id="", key=""):
    return CounterKey("acme", limit_id, user_id, key, date(2017, 3, 1))


def test_a_claim_that_fits_exactly_is_taken_whole():
    key = counter_key()
    counters = {key: Counter(900, 3)}
    uses, refused_by = weigh([LimitCharge(key, 100, 1000)], counters)
    assert refused_by is None
    take([LimitCharge(key, 100, 1000)], counters)
    assert counters[key] == Counter(1000, 4)
    assert (uses[0].used_before, uses[0].version, uses[0].amount, uses[0].cap) == (900, 3, 100, 1000)


def test_a_value_that_does_not_fit_is_refused_whole():
    key = counter_key()
    counters = {key: Counter(950, 3)}
    _, refused_by = weigh([LimitCharge(key, 100, 1000)], counters)
    assert refused_by is not None and refused_by.used_before == 950
    assert counters[key] == Counter(950, 3)


def test_the_first_limit_without_room_is_named_and_all_are_proved():
    first, second = counter_key("a"), counter_key("b")
    uses, refused_by = weigh(
        [LimitCharge(first, 1, 5), LimitCharge(second, 1, 2)], {first: Counter(1, 1), second: Counter(2, 2)}
    )
    assert [use.limit_id for use in uses] == ["a", "b"]
    assert refused_by is not None and refused_by.limit_id == "b"


def test_a_cap_lowered_below_its_use_refuses_everything_further():
    key = counter_key()
    _, refused_by = weigh([LimitCharge(key, 1, 10)], {key: Counter(50, 50)})
    assert refused_by is not None


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["", "u1", "u2"])), max_size=60), st.integers(0, 300))
def test_no_sequence_exceeds_a_cap_and_no_refusal_is_needless(amounts, cap):
    counters: dict[CounterKey, Counter] = {}
    for amount, user in amounts:
        charges = [
            LimitCharge(counter_key(user_id=user), amount, cap),
            LimitCharge(counter_key("all"), amount, 2 * cap),
        ]
        for charge in charges:
            counters.setdefault(charge.counter, Counter(0, 0))
        _, refused_by = weigh(charges, counters)
        if refused_by is None:
            take(charges, counters)
        else:
            assert refused_by.used_before + refused_by.amount > refused_by.cap
        assert all(counters[t.counter].used <= t.cap for t in charges)


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 30), st.sampled_from(["partial", "refuse"])), max_size=3),
)
def test_what_is_left_is_given_to_the_last_unit_of_the_least_room_and_each_reward_has_some(values, limits):
    every = tuple(range(len(values)))
    keys = [counter_key(f"l{number}") for number in range(len(limits))]
    counters = {key: Counter(used, 1) for key, (used, _, _) in zip(keys, limits, strict=True)}
    charges = [
        LimitCharge(key, sum(values), cap, counted=every, over=over)
        for key, (_, cap, over) in zip(keys, limits, strict=True)
    ]
    given_charges, given_values = cut(charges, values, counters)
    refused_by = weigh(given_charges, counters)[1]
    rooms = {over: [cap - used for used, cap, each in limits if each == over] for over in ("partial", "refuse")}
    least = min([sum(values), *rooms["partial"]])
    enough = least >= len(values)
    assert (refused_by is None) == (enough and all(least <= room for room in rooms["refuse"]))
    assert sum(given_values) == (least if enough else sum(values))
    assert all(1 <= given <= value for given, value in zip(given_values, values, strict=True))
    if list(given_values) != values:
        assert {(charge.amount, charge.wanted) for charge in given_charges} == {(least, sum(values))}
    first_cut = next((n for n in every if given_values[n] < values[n]), len(values))
    assert all(given == 1 for given in given_values[first_cut + 1 :]), "the last ones give up first"


REWARDS = st.lists(
    st.builds(
        Reward,
        st.sampled_from(["points", "cashback"]),
        st.integers(1, 10**12),
        st.sampled_from(["POINTS", "MILES", "EUR"]),
    ),
    min_size=1,
)


@given(REWARDS)
def test_limits_of_each_currency_share_the_values_out_among_themselves(rewards):
    def count(kind, currency):
        limit = Limit("l", "user", "value", "day", 9, reward_kind=kind, currency=currency)
        return sum(rewards[index].value for index in find_counted(limit, dict(enumerate(rewards))) or ())

    of_each = {unit: count(*unit) for unit in {(reward.kind, reward.currency) for reward in rewards}}
    assert sum(of_each.values()) == sum(reward.value for reward in rewards)
    assert all(of_each.values())
    assert count("points", "STARS") == 0
