"""The arithmetic of uplift: against the equations that define it, exact enumeration, tables, and simulation."""

from math import comb, sqrt
from random import Random
from statistics import fmean, variance

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillip.analyse.uplift import (
    Measured,
    Z,
    bound_share,
    compare,
    compare_means,
    compare_shares,
    find_quantile,
)

shares = st.integers(1, 5_000).flatmap(lambda users: st.tuples(st.integers(0, users), st.just(users)))


def group(converted: int, users: int, **more: object) -> Measured:
    """A group of so many."""
    columns = {"place": "offered", "variant": None, "mean": 0.0, "variance": 0.0} | more
    return Measured(users=users, converted=converted, **columns)  # type: ignore[arg-type]


@given(shares)
def test_the_bounds_of_a_share_solve_wilsons_equation(share: tuple[int, int]):
    """At each bound p the observed share lies just Z standard errors (of p) away."""
    converted, users = share
    for bound in bound_share(converted, users):
        if 1e-9 < bound < 1 - 1e-9:
            away = abs(converted / users - bound) / sqrt(bound * (1 - bound) / users)
            assert away == pytest.approx(Z, rel=1e-4)


@given(shares, shares)
def test_differences_of_shares_are_within_bounds_and_turn_round(one: tuple[int, int], other: tuple[int, int]):
    there, back = compare_shares(group(*one), group(*other)), compare_shares(group(*other), group(*one))
    assert -1 - 1e-9 <= there.low <= there.difference <= there.high <= 1 + 1e-9
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=1e-9)


def test_newcombes_own_examples():
    """Newcombe (1998), table II, method 10: 56/70 less 48/80, and 9/10 less 3/10."""
    for one, other, low, high in (((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090)):
        found = compare_shares(group(*one), group(*other))
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("one", "other"), [((40, 0.1), (40, 0.1)), ((60, 0.3), (20, 0.1)), ((30, 0.05), (60, 0.02)), ((50, 0.5), (50, 0.7))]
)
def test_the_interval_of_shares_covers_the_truth(one: tuple[int, float], other: tuple[int, float]):
    """The probability of every outcome, added up where the interval holds the true difference."""
    truth, covered = one[1] - other[1], 0.0
    for first in range(one[0] + 1):
        for second in range(other[0] + 1):
            found = compare_shares(group(first, one[0]), group(second, other[0]))
            if found.low <= truth <= found.high:
                covered += chance(first, *one) * chance(second, *other)
    assert 0.93 < covered <= 1


def chance(converted: int, users: int, share: float) -> float:
    """The binomial probability."""
    return comb(users, converted) * share**converted * (1 - share) ** (users - converted)


def test_quantiles_are_those_of_the_tables():
    for freedom, quantile in ((10, 2.2281), (20, 2.0860), (30, 2.0423), (60, 2.0003), (120, 1.9799), (1e9, 1.9600)):
        assert find_quantile(freedom) == pytest.approx(quantile, abs=1e-3)


def test_the_interval_of_means_covers_the_truth():
    """Groups of unlike size and spread, 2,000 times: 95 % of the intervals hold the true difference of 3."""
    chances, rounds = Random(61), 2_000
    covered = 0
    for _ in range(rounds):
        groups = [[chances.gauss(mean, spread) for _ in range(n)] for n, mean, spread in ((30, 5, 9), (80, 2, 3))]
        found = compare_means(*(group(0, len(g), mean=fmean(g), variance=variance(g)) for g in groups))
        assert found
        covered += found.low <= 3 <= found.high
    assert 0.935 < covered / rounds < 0.965


def test_what_can_not_be_concluded_is_said():
    few = [group(1, 9, place="holdout", mean=1.0, variance=1.0), group(4, 9, mean=5.0, variance=1.0)]
    (comparison,) = compare(few, {}, with_value=True).comparisons
    assert comparison.value is None
    assert [note.partition(":")[0] for note in comparison.notes] == [
        "few users, or few who did it or did not",
        "no difference in conversion is shown",
        "no interval of values",
    ]
    many = [group(100, 1_000, place="holdout", mean=10.0, variance=25.0), group(200, 1_000, mean=12.0, variance=25.0)]
    (comparison,) = compare(many, {}, with_value=True).comparisons
    assert comparison.notes == []
    assert (comparison.group, comparison.against) == ("offered", "holdout")
    assert comparison.value and comparison.value.low > 1.5
    assert compare_means(*(group(5, 99, variance=0.0) for _ in range(2))) is None
    nobody = compare_shares(group(0, 50), group(0, 50))  # is not the certainty of no difference
    assert (nobody.low, nobody.difference, nobody.high) == pytest.approx((-0.0713, 0, 0.0713), abs=1e-3)
