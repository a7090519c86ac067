"""Values by formula: exact, rounded as stated, never above their maximum."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillip.core.campaign.formula import Formula, Tier

INT64 = st.integers(-(2**63), 2**63 - 1)


@pytest.mark.parametrize(
    ("rounding", "values"),
    [("half_even", [2, 2, 4, -2]), ("half_up", [2, 3, 4, -3]), ("down", [1, 2, 3, -2]), ("up", [2, 3, 4, -3])],
)
def test_a_percentage_is_rounded_as_it_says(rounding, values):
    formula = Formula("x", percent="2.5", rounding=rounding)
    assert [formula.compute(amount) for amount in (70, 100, 140, -100)] == values


def test_the_highest_tier_that_is_reached_gives_the_value():
    tiers = (Tier(5000, value=100), Tier(10_000, percent="5"), Tier(50_000, value=4000))
    formula = Formula("x", tiers=tiers, rounding="down", max=3000)
    amounts = [4999, 5000, 9999, 10_000, 49_999, 50_000]
    assert [formula.compute(amount) for amount in amounts] == [0, 100, 100, 500, 2499, 3000]


@given(INT64, st.integers(1, 9999), st.integers(0, 999_999), st.sampled_from(["half_even", "half_up", "down", "up"]))
def test_a_percentage_is_exact_whatever_the_amount(amount, whole, millionths, rounding):
    value = Formula("x", percent=f"{whole}.{millionths:06}", rounding=rounding).compute(amount)
    exact = Fraction(amount * (whole * 10**6 + millionths), 10**8)
    away = abs(value) - abs(exact)
    assert (
        abs(away) <= Fraction(1, 2) if rounding.startswith("half") else 0 <= away * (1 if rounding == "up" else -1) < 1
    )
    assert value == 0 or (value > 0) == (amount > 0)
    if rounding.startswith("half") and abs(away) == Fraction(1, 2):
        assert away > 0 if rounding == "half_up" else value % 2 == 0


@given(INT64, st.lists(st.tuples(INT64, st.integers(1, 100)), max_size=6), st.integers(1, 50))
def test_no_value_is_above_its_maximum(amount, steps, top):
    tiers = tuple(Tier(at_least, value) for at_least, value in sorted(dict(steps).items()))
    reached = [tier.value for tier in tiers if tier.at_least <= amount]
    expected = min(amount if not tiers else reached[-1] if reached else 0, top)
    assert Formula("x", tiers=tiers, max=top).compute(amount) == expected
