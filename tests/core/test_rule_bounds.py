"""What a rule may cost: bombs are refused where they stand, honest rules are not."""

import pytest

from fillip.core.rule import RuleRefused, decode_rule
from fillip.core.rule.cost import MAX_COST, estimate
from fillip.core.rule.extent import measure
from fillip.core.schema.coerce import SchemaViolation, build_coercer
from fillip.core.schema.types import SchemaUnusable, derive_type
from fillip.manage.rule.checker import check_rule
from tests.core.rule_bombs import CLAUSES, SOUND
from tests.core.rule_shop import USER, WIDE


def list_of(**more):
    return {"type": "object", "properties": {"skus": {"type": "array", "items": {"type": "string"}, **more}}}


@pytest.mark.parametrize("name", CLAUSES)
def test_a_bomb_is_refused_with_its_clause(name):
    source, says = CLAUSES[name]
    with pytest.raises(RuleRefused) as refused:
        check_rule(SOUND + source, WIDE, USER)
    assert says in refused.value.message
    assert refused.value.line == 2
    if "step" in refused.value.message or "deep" in refused.value.message:
        assert f"`{source.split(' || ')[0][:40]}" in refused.value.message


@pytest.mark.parametrize(
    "source",
    [
        "event.lines.exists(l, l.sku == 'a' && l.n >= 2)",
        "event.tags.all(t, t.startsWith('spring-') || t in ['a', 'b'])",
        "size(event.lines.filter(l, l.n > 1)) >= 3 && 'vip' in cohorts",
        "event.category in [" + ", ".join(f"'sku-{n}'" for n in range(256)) + "]",
        "event.category.contains(',[') && r'\\d' != event.category && '''a'b''' != event.category",
        " || ".join(f"event.qty == {n}" for n in range(300)),
    ],
)
def test_an_honest_rule_is_saved(source):
    assert check_rule(source, WIDE, USER).kind == "bool"


def test_a_smaller_list_in_the_schema_allows_what_a_larger_one_does_not():
    source = "event.skus.all(a, event.skus.all(b, a <= b))"
    with pytest.raises(RuleRefused, match="maxItems"):
        check_rule(source, derive_type(list_of()), USER)
    assert check_rule(source, derive_type(list_of(maxItems=40)), USER)


def test_the_cost_is_told_by_the_bounds_of_the_lists():
    action = derive_type(list_of(maxItems=40))

    def cost(source):
        tree = decode_rule(check_rule(source, action, USER).checked)
        return estimate(tree.root, {"event": measure(action)}).units

    one = cost("event.skus.all(a, a != '')")
    assert 40 < one < 400
    assert 40 * 40 < cost("event.skus.all(a, event.skus.exists(b, a == b))") < MAX_COST


def test_the_schema_bounds_every_list_and_events_keep_to_it():
    read = build_coercer(derive_type(list_of()))
    assert read({"skus": ["a"] * 256}) == {"skus": ["a"] * 256}
    with pytest.raises(SchemaViolation, match="257 items, at most 256"):
        read({"skus": ["a"] * 257})
    assert build_coercer(derive_type(list_of(maxItems=300)))({"skus": ["a"] * 300}) == {"skus": ["a"] * 300}
    with pytest.raises(SchemaUnusable, match="0 to 5000"):
        derive_type(list_of(maxItems=1_000_000))
