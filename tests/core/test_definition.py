"""Definitions without a server: what contradicts itself, what names nothing, what can't be reached, and where."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import convert

from fillip.core.campaign.campaign import Campaign, CheckedExpression
from fillip.core.campaign.check_definition import check_change, check_definition, fill_currency
from fillip.core.campaign.check_exclusive import check_exclusive, check_group, check_retained
from fillip.core.campaign.check_returns import check_reevaluated
from fillip.core.campaign.vocabulary import TypeContext, Vocabulary
from fillip.core.campaign.warnings import list_seldom_meant
from fillip.core.problem import Fault
from fillip.core.schema.types import EMPTY

NOW = datetime(2026, 3, 1, tzinfo=UTC)
VOCABULARY = Vocabulary(
    currency="EUR",
    types=TypeContext({"BUY": EMPTY, "RATE": EMPTY}, cohorts=("gold",)),
    points=("STARS",),
    pools=("spring",),
    badges=("first",),
    now=NOW,
)
POINTS = {"kind": "points", "value": 5}
BUY = {"name": "buy", "action": "BUY"}


def simple(**more: Any) -> Campaign:
    """A campaign that rewards each BUY with 5 points."""
    return convert({"kind": "SIMPLE", "name": "c", "action": "BUY", "rewards": [POINTS]} | more, Campaign)


def quest(*steps: dict[str, Any], schedule: dict[str, str] | None = None, **more: Any) -> Campaign:
    """A quest of these steps."""
    given = {"kind": "QUEST", "name": "q", "rewards": [POINTS], "schedule": schedule or {}}
    return convert(given | {"quest": {"steps": steps or [BUY]} | more}, Campaign)


def places(faults: Iterable[Fault]) -> list[str]:
    return [fault.at for fault in faults]


def refused(campaign: Campaign) -> list[str]:
    return places(check_definition(campaign, VOCABULARY))


def test_what_goes_together_has_no_faults():
    assert refused(simple(cohorts=["gold"], rewards=[{"kind": "badge", "badge": "first"}, POINTS])) == []
    assert refused(quest(BUY, BUY | {"name": "again", "sum": "event.n", "at_least": 9}, window_s=60)) == []


def test_all_that_is_wrong_is_told_at_once():
    wrong = simple(
        action=None,
        schedule={"starts_at": "2026-03-02T00:00:00Z", "ends_at": "2026-03-01T00:00:00Z"},
        cohorts=["gold", "silver"],
        rewards=[{"kind": "points"}],
    )
    assert refused(wrong) == ["/action", "/schedule/ends_at", "/cohorts/1", "/rewards/0/value"]


def test_a_campaign_is_either_simple_or_a_quest():
    assert refused(convert({"kind": "QUEST", "name": "q", "action": "BUY", "rewards": [POINTS]}, Campaign)) == [
        "/quest",
        "/action",
    ]
    assert refused(simple(quest={"steps": [BUY]})) == ["/quest"]


def test_an_unknown_action_is_told_once_where_it_stands():
    assert refused(simple(action="FLY")) == ["/action"]
    start, summed = {"at": "event", "action": "FLY"}, {"name": "b", "action": "FLY", "sum": "event.n", "at_least": 9}
    assert refused(quest(BUY, BUY | summed, start=start, instance={"key": "event.k"})) == [
        "/quest/start/action",
        "/quest/steps/1/action",
    ]


@pytest.mark.parametrize(
    ("reward", "at"),
    [
        ({"kind": "cashback", "value": 5, "currency": "USD"}, "currency"),
        ({"kind": "points", "value": 5, "currency": "MOONS"}, "currency"),
        ({"kind": "points", "value": 5, "pending_for_s": 9, "expires_after_s": 9}, "expires_after_s"),
        ({"kind": "badge", "badge": "first", "pending_for_s": 9}, "pending_for_s"),
        ({"kind": "badge", "badge": "first", "available": {"end_of": "day"}}, "available"),
        (POINTS | {"expires_after_s": 9, "expires": {"end_of": "day"}}, "expires"),
        (POINTS | {"expires_at": "2027-01-01T00:00:00Z", "expires": {"end_of": "day"}}, "expires"),
        (POINTS | {"pending_for_s": 9, "available_at": "2027-01-01T00:00:00Z"}, "available_at"),
        (POINTS | {"expires": {"end_of": "year", "after": 11}}, "expires/after"),
        (POINTS | {"available": {"end_of": "month", "after": 121}}, "available/after"),
        (POINTS | {"expires_at": "2026-03-01T00:00:00Z"}, "expires_at"),  # it is launched then, or later
        (POINTS | {"available_at": "2026-03-01T00:00:00Z"}, "available_at"),
        (POINTS | {"available": {"end_of": "month"}, "expires": {"end_of": "month"}}, "expires"),
        (POINTS | {"available": {"end_of": "year"}, "expires": {"end_of": "month"}}, "expires"),
        (POINTS | {"available": {"end_of": "day", "after": 31}, "expires": {"end_of": "month"}}, "expires"),
        (POINTS | {"available": {"end_of": "day"}, "expires": {"end_of": "month", "zone": "user"}}, "available/zone"),
        (POINTS | {"pending_for_s": 31 * 86_400, "expires": {"end_of": "month"}}, "expires"),
        (POINTS | {"available": {"end_of": "month"}, "expires_at": "2026-04-01T00:00:00Z"}, "expires_at"),
        ({"kind": "coupon"}, "pool"),
        ({"kind": "coupon", "pool": "autumn"}, "pool"),
        ({"kind": "badge", "badge": "second"}, "badge"),
        ({"kind": "points", "value": 5, "formula": {"of": "event.n"}}, "value"),
        ({"kind": "points", "formula": {"of": "event.n", "percent": "5"}}, "formula/rounding"),
        ({"kind": "points", "formula": {"of": "event.n", "tiers": [{"at_least": 1}]}}, "formula/tiers/0"),
        (
            {"kind": "points", "formula": {"of": "event.n", "max": 4, "tiers": [{"at_least": 1, "value": 5}]}},
            "formula/tiers/0/value",
        ),
    ],
)
def test_a_reward_that_can_not_be_given_is_refused(reward: dict[str, Any], at: str):
    assert refused(simple(rewards=[POINTS, reward])) == [f"/rewards/1/{at}"]


@pytest.mark.parametrize(
    "dates",
    [
        {"available": {"end_of": "month"}, "expires": {"end_of": "month", "after": 1}},
        {"available": {"end_of": "day", "after": 29}, "expires": {"end_of": "month"}},  # of what is earned on the 1st
        {"pending_for_s": 31 * 86_400 - 1, "expires": {"end_of": "month"}},
        {"available": {"end_of": "day"}, "expires_after_s": 2},
        {"available_at": "2027-01-01T00:00:00Z", "expires": {"end_of": "year"}},  # the campaign goes on
        {"expires_at": "2026-03-01T00:00:01Z"},
    ],
)
def test_points_that_can_be_spent_for_a_time_are_taken(dates: dict[str, Any]):
    assert refused(simple(rewards=[POINTS | dates])) == []


def test_points_must_last_for_some_event_of_their_campaign():
    """Given some that would do, in a campaign that is over before, or that begins when it is too late."""
    week = {"starts_at": "2026-03-02T00:00:00Z", "ends_at": "2026-03-09T00:00:00Z"}
    found: list[tuple[dict[str, Any], str]] = [
        ({"available_at": "2027-01-01T00:00:00Z", "expires": {"end_of": "year"}}, "expires"),
        ({"expires_at": "2026-03-02T00:00:00Z"}, "expires_at"),
        ({"available": {"end_of": "day", "after": 29}, "expires": {"end_of": "month"}}, "expires"),
    ]
    for dates, place in found:
        assert refused(simple(rewards=[POINTS | dates], schedule=week)) == [f"/rewards/0/{place}"]
    late = {"starts_at": "9998-12-30T00:00:00Z"}
    assert refused(simple(rewards=[POINTS | {"expires": {"end_of": "year", "after": 10}}], schedule=late)) == []


LIMIT = {"name": "most", "scope": "campaign", "measure": "value", "reward_kind": "points", "span": "day"}
ONE_IN_TWO = [{"variant_id": name, "percent": 50} for name in ("some", "none")]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"limits": [LIMIT | {"cap": 4}]}, ["/limits/0/cap"]),
        ({"limits": [LIMIT | {"cap": 4, "over": "partial"}, LIMIT | {"cap": 5}]}, []),
        ({"limits": [LIMIT | {"cap": 0, "over": "partial"}]}, ["/limits/0/cap"]),
        ({"limits": [LIMIT | {"cap": 4}], "rewards": [{"kind": "points", "formula": {"of": "event.n"}}]}, []),
        (
            {"limits": [LIMIT | {"cap": 4}], "variants": ONE_IN_TWO, "rewards": [POINTS | {"variants": ["some"]}]},
            ["/limits/0/cap"],
        ),
        ({"rewards": [POINTS, POINTS | {"expires_at": "2026-04-01T00:00:00Z"}]}, ["/rewards/1/expires_at"]),
        (
            {
                "rewards": [POINTS | {"expires_at": "2026-04-01T00:00:00Z"}],
                "schedule": {"ends_at": "2026-04-01T00:00:00Z"},
            },
            [],
        ),
    ],
)
def test_what_grants_less_than_it_seems_to_is_warned_of(more: dict[str, Any], told: list[str]):
    assert places(list_seldom_meant(simple(**more))) == told


def test_a_badge_is_given_once():
    badge = {"kind": "badge", "badge": "first"}
    assert refused(simple(rewards=[badge, POINTS, badge])) == ["/rewards/0/badge", "/rewards/2/badge"]


def test_a_formula_reads_events_of_one_action():
    formula = {"rewards": [{"kind": "points", "formula": {"of": "event.n"}}]}
    steps = [BUY, {"name": "rate", "action": "RATE"}]
    made = {"kind": "QUEST", "name": "q", "quest": {"steps": steps, "ordered": False}} | formula
    assert refused(convert(made, Campaign)) == ["/rewards/0/formula"]


def test_steps_of_a_quest_have_names_and_one_measure():
    steps: list[dict[str, Any]] = [
        BUY,
        BUY | {"sum": "event.n"},
        BUY | {"name": "c", "count": 2, "streak": {"length": 3}},
    ]
    assert refused(quest(*steps)) == [
        "/quest/steps/0/name",
        "/quest/steps/1/name",
        "/quest/steps/1/sum",
        "/quest/steps/2/streak",
    ]


def test_a_key_needs_one_action_that_opens():
    steps = BUY, {"name": "rate", "action": "RATE"}
    assert refused(quest(*steps, instance={"key": "event.shop"}, ordered=False)) == ["/quest/instance/key"]
    assert refused(quest(*steps, instance={"key": "event.shop"})) == []


def test_a_quest_must_be_reachable_in_its_window():
    week = {"starts_at": "2026-03-01T00:00:00Z", "ends_at": "2026-03-08T00:00:00Z"}
    assert refused(quest(window_s=8 * 86_400, schedule=week)) == ["/quest/window_s"]
    assert refused(quest(BUY | {"streak": {"length": 12}}, schedule=week)) == ["/quest/steps/0/streak/length"]
    early = {"starts_at": "2026-01-01T00:00:00Z"}
    assert refused(quest(start={"at": "campaign"}, window_s=60, schedule=early)) == ["/quest/window_s"]


def test_a_launched_campaign_keeps_its_kind_and_what_instances_count():
    before = quest(BUY)
    assert places(check_change(before, simple())) == ["/kind"]
    assert places(check_change(before, quest(BUY | {"name": "other"}))) == ["/quest/steps"]
    assert places(check_change(before, quest(BUY | {"sum": "event.n", "at_least": 2}))) == ["/quest/steps/0"]
    assert places(check_change(before, quest(BUY, instance="event"))) == ["/quest/instance"]
    assert check_change(before, quest(BUY | {"count": 3}, window_s=60)) == []


def test_currencies_that_are_left_out_are_filled_in():
    rewards = [{"kind": "cashback", "value": 1}, POINTS, POINTS | {"currency": "STARS"}, {"kind": "custom"}]
    filled = fill_currency(simple(rewards=rewards), "EUR").rewards
    assert [reward.currency for reward in filled] == ["EUR", "POINTS", "STARS", None]


def test_exclusivity_must_not_contradict_itself():
    by_value = {"group": "g", "pick": "value"}
    assert check_exclusive(simple(exclusive=by_value)) == []
    assert places(check_exclusive(simple(exclusive=by_value, stackable=False))) == ["/exclusive"]
    mixed = simple(exclusive=by_value, rewards=[POINTS, {"kind": "badge", "badge": "first"}])
    assert places(check_exclusive(mixed)) == ["/exclusive/pick", "/exclusive/pick"]
    assert check_exclusive(simple(exclusive={"group": "g", "pick": "priority"}, rewards=[{"kind": "custom"}])) == []


def test_a_group_picks_alike_and_compares_like_with_like():
    by_value, by_priority = ({"group": "g", "pick": pick} for pick in ("value", "priority"))
    mine, cashback = simple(exclusive=by_value), {"kind": "cashback", "value": 1, "currency": "EUR"}
    assert check_group(mine, "other", simple(exclusive=by_value)) == []
    assert places(check_group(mine, "other", simple(exclusive=by_priority))) == ["/exclusive/pick"]
    assert places(check_group(mine, "other", simple(exclusive=by_value, rewards=[cashback]))) == ["/exclusive/group"]
    assert places(check_retained(mine, [simple(), simple(rewards=[cashback])])) == ["/exclusive/pick"]
    assert check_retained(mine, [simple()]) == []


def on_partial(policy: str, **reward: Any) -> dict[str, Any]:
    return POINTS | reward | {"on_partial": policy}


def test_what_a_reward_says_of_returns_in_part_can_be_done():
    formula = {"value": 0, "formula": {"of": "event.n"}}
    fine = [on_partial("keep"), on_partial("prorate"), on_partial("reevaluate", **formula)]
    assert refused(simple(rewards=fine)) == []
    badge = {"kind": "badge", "badge": "first", "value": 0}
    assert (
        refused(simple(rule="event.n > 1", rewards=[on_partial("reevaluate"), on_partial("reevaluate", **badge)])) == []
    )
    assert refused(simple(rewards=[POINTS, on_partial("prorate", **badge)])) == ["/rewards/1/on_partial"]
    [fault] = check_definition(simple(rewards=[on_partial("reevaluate")]), VOCABULARY)
    assert (fault.at, "nothing could change" in fault.message) == ("/rewards/0/on_partial", True)
    [fault] = check_definition(
        convert({"kind": "QUEST", "name": "q", "rewards": [on_partial("keep")], "quest": {"steps": [BUY]}}, Campaign),
        VOCABULARY,
    )
    assert (fault.at, "leave it out" in fault.message) == ("/rewards/0/on_partial", True)


def test_what_is_asked_again_reads_no_cohorts():
    """No decision keeps who was in them."""
    formula = {"value": 0, "formula": {"of": "event.n"}}
    campaign = simple(rule="a", rewards=[on_partial("reevaluate", **formula), on_partial("keep", **formula)])
    plain, asks = CheckedExpression(b""), CheckedExpression(b"", uses_cohorts=True)
    paths = [each.path for each in campaign.expressions]
    assert places(check_reevaluated(campaign, dict.fromkeys(paths, plain))) == []
    assert places(check_reevaluated(campaign, dict.fromkeys(paths, asks))) == ["/rule", "/rewards/0/formula/of"]
    assert places(check_reevaluated(simple(rewards=[POINTS]), {"rule": asks})) == []
