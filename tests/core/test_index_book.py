"""What the index spares a book of 10,000 mixed campaigns, and that it spares nothing it should not."""

import pytest

from fillip.core.index import RuleIndex, read_clauses
from fillip.core.rule import Rule, decode_rule
from fillip.manage.rule.checker import check_rule
from tests.core.index_book import ACTION, USER, make_rules, make_situations, make_unindexed
from tests.core.index_world import hold

COUNT, EVENTS, BY_FORCE = 10_000, 400, 10


@pytest.fixture(scope="module")
def book():
    return [*make_rules(COUNT - 1), *make_unindexed(1)]


def test_candidates_are_at_most_half_more_than_matches_and_two(book):
    index = RuleIndex([read_clauses(made.root) for made in book])
    rules: dict[int, Rule] = {}
    matches = 0
    for situation in make_situations(EVENTS):
        found = index.find(*situation)
        run = [slot for slot, sure in found.items() if not (sure and index.exact[slot])]
        rules |= {slot: book[slot].compile() for slot in run if slot not in rules}
        met = len(found) - len(run) + sum(hold(rules[slot], *situation) for slot in run)
        assert len(found) <= 1.5 * met + 2
        matches += met
    assert matches > 10 * EVENTS, "a book that few events meet would show nothing"


def test_it_finds_what_running_all_of_them_finds(book):
    index, rules = RuleIndex([read_clauses(made.root) for made in book]), [made.compile() for made in book]
    for situation in make_situations(BY_FORCE, seed=2):
        found = index.find(*situation)
        held = {slot for slot, rule in enumerate(rules) if hold(rule, *situation)}
        assert held <= found.keys()
        assert {slot for slot, sure in found.items() if sure and index.exact[slot]} <= held


def test_rules_with_their_literals_filled_in_are_the_rules_their_text_says(book):
    for made in book[:50]:
        assert (
            read_clauses(decode_rule(check_rule(made.source, ACTION, USER).checked).root).each
            == read_clauses(made.root).each
        )
