"""Who is in which variant of a campaign: shared out evenly, by a hash that has nothing to do with any other."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from fillip.core.campaign.check_definition import check_change, check_definition
from fillip.core.campaign.variant import Variant, choose_variant
from fillip.core.limit import Limit
from fillip.core.match.candidate import is_barred
from fillip.core.match.limit_charges import list_charges
from fillip.core.match.reward_values import value_rewards
from tests.builders import build_book, build_event, build_tenant, build_version
from tests.core.test_definition import BUY, POINTS, VOCABULARY, places, quest, refused, simple

USERS = [f"user-{number}" for number in range(20_000)]
SURE = {1: 10.8, 3: 16.3, 7: 24.3, 63: 103.4}
"""By the degrees of freedom, what chi-square exceeds in one of a thousand fair draws; ours always come out the same."""
LIMITS = {
    "all": Limit("all", "tenant", "count", "lifetime", 9000),
    "cash": Limit("cash", "tenant", "value", "lifetime", 9000, reward_kind="cashback", currency="EUR"),
    "cash-grants": Limit("cash-grants", "tenant", "count", "lifetime", 9000, reward_kind="cashback"),
}
HALVES = [{"variant_id": "a", "percent": 50}, {"variant_id": "b", "percent": 50}]


def share(*percents: int) -> list[Variant]:
    return [Variant(f"v{place}", percent) for place, percent in enumerate(percents)]


def draw(variants: Sequence[Variant], campaign_id: str = "c", tenant_id: str = "acme") -> list[str | None]:
    return [choose_variant(variants, tenant_id, campaign_id, user) for user in USERS]


def measure_chance(found: Sequence[object], wanted: Mapping[Any, float]) -> float:
    """Chi-square of what was found against the counts that were to be expected."""
    counts = Counter(found)
    assert counts.keys() <= wanted.keys()
    return sum((counts[each] - expected) ** 2 / expected for each, expected in wanted.items())


@pytest.mark.parametrize("percents", [(50, 50), (99, 1), (10, 20, 30, 40), (12, 13, 12, 13, 12, 13, 12, 13)])
@pytest.mark.parametrize("campaign_id", ["c", "spring-2026"])
def test_each_variant_has_its_percentage_of_the_users(percents: Sequence[int], campaign_id: str):
    wanted = {each.variant_id: len(USERS) * each.percent / 100 for each in share(*percents)}
    assert measure_chance(draw(share(*percents), campaign_id), wanted) < SURE[len(percents) - 1]


@pytest.mark.parametrize("other", [("c2", "acme"), ("c", "rival")])
def test_variants_of_two_campaigns_have_nothing_to_do_with_each_other(other: tuple[str, str]):
    """Nor of two tenants: of those in one variant here, as many are in each variant there as of all."""
    eight = share(12, 13, 12, 13, 12, 13, 12, 13)
    wanted = {
        (one.variant_id, two.variant_id): len(USERS) * one.percent * two.percent / 10_000
        for one in eight
        for two in eight
    }
    both = list(zip(draw(eight), draw(eight, *other), strict=True))
    assert measure_chance(both, wanted) < SURE[63]


def test_variants_have_nothing_to_do_with_the_holdout():
    tenant = build_tenant(holdout_percent=50)
    both = [(tenant.holds_out(user), variant) for user, variant in zip(USERS, draw(share(50, 50)), strict=True)]
    wanted = dict.fromkeys([(out, variant) for out in (True, False) for variant in ("v0", "v1")], len(USERS) / 4)
    assert measure_chance(both, wanted) < SURE[3]


def test_a_user_stays_in_a_variant_for_ever():
    """The hash is a promise: a decision is explained by it years later."""
    assert draw(share(25, 25, 25, 25))[:12] == [f"v{place}" for place in (2, 0, 2, 3, 3, 0, 1, 0, 0, 2, 1, 3)]
    assert draw([]) == [None] * len(USERS)


@pytest.mark.parametrize(
    ("variants", "at"),
    [
        ([{"variant_id": "a", "percent": 100}], "/variants"),
        ([HALVES[0], HALVES[1] | {"percent": 49}], "/variants"),
        ([HALVES[0], HALVES[0]], "/variants/0/variant_id"),
    ],
)
def test_variants_share_out_all_users(variants: list[dict[str, Any]], at: str):
    assert refused(simple(variants=variants))[0] == at


def test_a_reward_names_variants_that_there_are():
    named = simple(variants=HALVES, rewards=[POINTS | {"variants": ["b", "c"]}])
    (fault,) = check_definition(named, VOCABULARY)
    assert (fault.at, fault.message) == ("/rewards/0/variants/1", "unknown variant 'c': there are a, b")
    assert refused(simple(rewards=[POINTS | {"variants": ["a"]}])) == ["/rewards/0/variants/0"]
    assert refused(simple(variants=HALVES, rewards=[POINTS | {"variants": ["b"]}])) == []


def test_each_variant_may_give_the_same_badge_once():
    first, second = ({"kind": "badge", "badge": "first", "variants": [name]} for name in "ab")
    assert refused(simple(variants=HALVES, rewards=[first, second])) == []
    twice = ["/rewards/0/badge", "/rewards/1/badge"]
    assert refused(simple(variants=HALVES, rewards=[first, second | {"variants": []}])) == [twice[0], twice[1]]


def test_a_launched_campaign_keeps_its_variants():
    for before, after in [([], HALVES), (HALVES, []), (HALVES, HALVES[::-1]), (HALVES, [HALVES[0] | {"percent": 60}, HALVES[1] | {"percent": 40}])]:  # fmt: skip
        assert places(check_change(simple(variants=before), simple(variants=after))) == ["/variants"]
    assert places(check_change(quest(BUY), quest(BUY))) == []


def test_a_launched_campaign_may_give_the_winner_to_all_and_makes_no_new_control():
    """What was a control gets something: nobody is worse off. The other way round somebody would stand before nothing."""
    tested = simple(variants=HALVES, rewards=[POINTS | {"variants": ["b"]}])
    rolled_out = simple(variants=HALVES)
    assert check_change(tested, rolled_out) == []
    (fault,) = check_change(rolled_out, tested)
    assert (fault.at, "variant 'a'" in fault.message) == ("/rewards", True)


def test_a_variant_is_worth_what_it_gives_and_takes_from_the_limits_of_that():
    """One gives points and cashback, one points alone, one nothing."""
    thirds = [{"variant_id": name, "percent": percent} for name, percent in (("a", 33), ("b", 33), ("c", 34))]
    cash = {"kind": "cashback", "value": 70, "currency": "EUR", "variants": ["a"]}
    version = build_version("c", simple(variants=thirds, rewards=[POINTS | {"variants": ["a", "b"]}, cash]))
    book = build_book(version, limits=LIMITS)
    found = {}
    for user in USERS[:50]:
        event = build_event(book, user_id=user)
        values = value_rewards(event, version, {}, frozenset()).values
        charges = {c.counter.limit_id: c.amount for c in list_charges(event, version, values, {}, frozenset())}
        found[event.find_variant(version)] = (values, charges, is_barred(event, version))
    assert found == {
        "a": ((5, 70), {"all": 1, "cash": 70, "cash-grants": 1}, False),
        "b": ((5, 0), {"all": 1}, False),
        "c": ((0, 0), {}, True),
    }


def test_who_is_held_out_is_in_no_variant():
    version = build_version("c", simple(variants=HALVES))
    book = build_book(version, tenant=build_tenant(holdout_percent=50))
    events = [build_event(book, user_id=user) for user in USERS[:50]]
    assert {event.find_variant(version) for event in events if event.held_out} == {None}
    assert {event.find_variant(version) for event in events if not event.held_out} == {"a", "b"}
