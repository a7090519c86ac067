"""What a whole definition may hold: each expression is bounded, and so are all of them together."""

import pytest
from msgspec import convert

from fillip.core.campaign.campaign import Campaign
from fillip.core.campaign.vocabulary import TypeContext, Vocabulary
from fillip.core.schema.types import derive_type
from fillip.http.errors import DefinitionRefused
from fillip.manage.campaign.checks import check_campaign
from fillip.manage.campaign.expressions import MAX_DEFINITION_COST, MAX_DEFINITION_TOKENS

SCHEMA = {
    "type": "object",
    "properties": {
        "n": {"type": "integer"},
        "text": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["n", "text"],
}
SHAPES = Vocabulary("USD", TypeContext({"BUY": derive_type(SCHEMA)}, cohorts=()))


def quest(*rules: str) -> Campaign:
    """A quest whose steps have these rules."""
    steps = [{"name": f"s{number}", "action": "BUY", "rule": rule} for number, rule in enumerate(rules)]
    return convert({"kind": "QUEST", "name": "q", "quest": {"steps": steps}, "rewards": [{"kind": "badge"}]}, Campaign)


def refuse(campaign: Campaign) -> DefinitionRefused:
    with pytest.raises(DefinitionRefused) as refused:
        check_campaign(campaign, SHAPES)
    return refused.value


def test_words_and_signs_are_counted_over_all_expressions() -> None:
    long, short = " || ".join(["event.n == 1"] * 200), " || ".join(["event.n == 1"] * 80)
    assert check_campaign(quest(long, short), SHAPES)
    fault = refuse(quest(short, long, short, short)).faults[0]
    assert fault.at == "/quest/steps/1/rule"
    assert f"at most {MAX_DEFINITION_TOKENS:,}" in fault.message


def test_steps_an_event_are_counted_over_all_expressions() -> None:
    dear = " || ".join(f"event.tags.exists(t, t == 'x{number}')" for number in range(7))
    checked = check_campaign(quest(dear, dear), SHAPES)
    assert sum(each.cost for each in checked.values()) <= MAX_DEFINITION_COST
    fault = refuse(quest(dear, dear, dear)).faults[0]
    assert f"at most {MAX_DEFINITION_COST:,}" in fault.message


def test_not_all_of_many_bad_expressions_are_checked() -> None:
    assert len(refuse(quest(*["event.nothing == 1"] * 20)).faults) == 20
    bad = convert(
        {
            "kind": "SIMPLE",
            "name": "c",
            "action": "BUY",
            "rule": "event.x == 1",
            "rewards": [{"kind": "points", "formula": {"of": "event.y"}}] * 10,
        },
        Campaign,
    )
    assert [fault.at for fault in refuse(bad).faults][:2] == ["/rule", "/rewards/0/formula/of"]
