"""The expressions of a campaign: which there are, what types each, and the names they are stored and refused by."""

from typing import Any

from msgspec import convert

from fillip.core.campaign.campaign import Campaign
from fillip.core.campaign.expression import name_path

FORMULA = {"kind": "points", "formula": {"of": "event.n"}}


def define(**given: Any) -> Campaign:
    return convert({"name": "c", "rewards": [{"kind": "custom"}, FORMULA]} | given, Campaign)


def test_a_simple_campaign_has_its_rule_and_its_formulas():
    found = define(kind="SIMPLE", action="BUY", rule="event.n > 1").expressions
    assert [(each.path, each.pointer, each.action, each.source) for each in found] == [
        ("rule", "/rule", "BUY", "event.n > 1"),
        ("rewards.1.formula.of", "/rewards/1/formula/of", "BUY", "event.n"),
    ]


def test_a_quest_has_those_of_its_start_its_steps_and_its_key():
    steps = [{"name": "a", "action": "BUY", "sum": "event.n"}, {"name": "b", "action": "RATE", "rule": "event.ok"}]
    start = {"at": "event", "action": "OFFER", "rule": "event.new"}
    found = define(kind="QUEST", quest={"steps": steps, "start": start, "instance": {"key": "event.k"}}).expressions
    assert [(each.path, each.pointer, each.action, each.source) for each in found] == [
        ("quest.start.rule", "/quest/start/rule", "OFFER", "event.new"),
        ("quest.steps.0.rule", "/quest/steps/0/rule", "BUY", "true"),
        ("quest.steps.0.sum", "/quest/steps/0/sum", "BUY", "event.n"),
        ("quest.steps.1.rule", "/quest/steps/1/rule", "RATE", "event.ok"),
        ("quest.instance.key", "/quest/instance/key", "OFFER", "event.k"),
        ("rewards.1.formula.of", "/rewards/1/formula/of", "RATE", "event.n"),
    ]
    assert [each.opening_action for each in found] == [None, "OFFER", None, "OFFER", None, None]
    assert [each.kind for each in found if each.is_rule] == ["start", "step", "step"]
    assert all(name_path(each.kind, each.index) == each.path for each in found)


def test_where_several_actions_may_open_a_quest_none_types_start():
    steps = [{"name": name, "action": name} for name in ("BUY", "RATE")]
    found = define(kind="QUEST", quest={"steps": steps, "ordered": False}).expressions
    assert [(each.kind, each.action, each.opening_action) for each in found] == [
        ("step", "BUY", None),
        ("step", "RATE", None),
        ("formula", "", None),
    ]
