"""The sentences of explanations: money and attributes as they were sent, in the words of JSON."""

from fillip.manage.explain.answer import LeafAnswer, RuleAnswer, WorthAnswer
from fillip.manage.explain.wording import tell_rules, tell_would


def test_money_is_told_by_its_unit_and_what_is_no_amount_by_its_kind() -> None:
    rewards = [WorthAnswer(kind=kind, currency=currency, value=value) for kind, currency, value in (
        ("cashback", "EUR", 500), ("points", "STARS", 5), ("custom", None, 7), ("badge", None, 0)
    )]  # fmt: skip
    said = "ada would earn 500 minor units of EUR as cashback and 5 STARS and a custom and a badge from 'Tea', but ."
    assert tell_would("ada", "Tea", rewards, []) == said


def test_what_a_condition_read_is_told_as_json() -> None:
    reads = {"event.items": [{"kind": "tea", "gift": True}], "event.note": 'a "b"', "user.tier": None}
    leaf = LeafAnswer(line=1, column=1, text="t", wanted=True, value=False, error=None, reads=reads)
    said = 'wanted t (event.items = [{"kind": "tea", "gift": true}], event.note = "a \\"b\\"", user.tier = nothing)'
    assert tell_rules([RuleAnswer(path="rule", source="t", met=False, leaves=[leaf])]).endswith(said)
