"""Limits without a server: whether their parts go together, with each other and with the campaign that they cap."""

from typing import Any

import pytest
from msgspec import convert

from fillip.core.campaign.campaign import Campaign
from fillip.core.campaign.check_limit import (
    check_key_action,
    check_limit,
    check_limit_currency,
    fill_key_action,
    fill_limit_currency,
    list_currencies,
)
from fillip.core.limit import Limit, Measure, Scope

BADGES = [{"kind": "badge", "badge": "b"}]
BUYS = convert({"kind": "SIMPLE", "name": "c", "action": "BUY", "rewards": BADGES}, Campaign)
RATES = convert({"kind": "SIMPLE", "name": "c", "action": "RATE", "rewards": BADGES}, Campaign)
STEPS = [{"name": "a", "action": "BUY"}, {"name": "b", "action": "RATE"}]
EITHER = convert(
    {"kind": "QUEST", "name": "q", "quest": {"steps": STEPS, "ordered": False}, "rewards": BADGES}, Campaign
)


def limit(scope: Scope = "user", measure: Measure = "count", **more: Any) -> Limit:
    return Limit("l", scope, measure, "day", 10, **more)


@pytest.mark.parametrize(
    ("wrong", "at"),
    [
        (limit("campaign"), ["/campaign_id"]),
        (limit("tenant", campaign_id="c"), ["/campaign_id"]),
        (limit(measure="value"), ["/reward_kind"]),
        (limit(measure="value", reward_kind="badge", currency="EUR"), ["/currency"]),
        (limit("campaign", "value", currency="EUR"), ["/campaign_id", "/reward_kind", "/currency"]),
    ],
)
def test_parts_that_do_not_go_together_are_refused(wrong: Limit, at: list[str]):
    assert [fault.at for fault in check_limit(wrong)] == at


def test_parts_that_go_together_are_not():
    assert check_limit(limit("campaign", "value", campaign_id="c", reward_kind="points", currency="STARS")) == []


@pytest.mark.parametrize(
    ("reward_kind", "points", "given", "filled", "faults"),
    [
        ("cashback", (), None, "EUR", 0),
        ("cashback", (), "USD", "USD", 1),
        ("points", (), None, "POINTS", 0),
        ("points", ("STARS",), None, None, 1),
        ("points", ("STARS",), "STARS", "STARS", 0),
        ("badge", ("STARS",), None, None, 0),
    ],
)
def test_values_are_added_up_in_one_currency(reward_kind, points, given, filled, faults):
    one = limit(measure="value", reward_kind=reward_kind, currency=given)
    known = list_currencies(one, "EUR", points)
    one = fill_limit_currency(one, known)
    assert one.currency == filled
    assert [fault.at for fault in check_limit_currency(one, known)] == ["/currency"] * faults


def test_a_key_reads_the_action_that_the_campaign_grants_on():
    keyed = limit(key="event.shop")
    assert fill_key_action(keyed, BUYS).action == "BUY"
    assert check_key_action(keyed, BUYS) == []
    assert check_key_action(limit(key="event.shop", action="BUY"), None) == []


@pytest.mark.parametrize(
    ("action", "campaign", "retained", "at"),
    [
        (None, None, {}, "/action"),
        ("RATE", BUYS, {}, "/action"),
        (None, EITHER, {}, "/key"),
        ("BUY", BUYS, {1: RATES}, "/key"),
        ("BUY", BUYS, {1: BUYS, 2: EITHER}, "/key"),
    ],
)
def test_a_key_that_some_grant_could_not_be_read_by_is_refused(action, campaign, retained, at):
    assert [fault.at for fault in check_key_action(limit(key="event.shop", action=action), campaign, retained)] == [at]
