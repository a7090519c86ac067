"""What an event lacks of the rules that it misses by one amount: with it they hold, with one unit less they don't."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fillip.core.index import Amount, Path, RuleIndex, read_clauses
from fillip.core.rule import compile_rule, decode_rule
from tests.core.index_world import RULES, SITUATIONS, hold
from tests.core.rule_shop import LISTS, check, is_taken, read_event, read_user

AMOUNTS = [("qty",), ("stock",), ("price",), ("rate",)]
LIMITS = st.sampled_from(["0", "1", "2", "5", "9", "9223372036854775807"])
BOUNDS = st.one_of(
    st.tuples(st.sampled_from(["event.qty", "event.stock"]), st.sampled_from([">", ">=", "<", "<=", "!="]), LIMITS),
    st.tuples(
        st.sampled_from(["event.price", "event.rate"]),
        st.sampled_from([">", ">=", "<"]),
        st.sampled_from(["0.0", "1.5", "500.0"]),
    ),
).map(" ".join)
BOOKS = st.lists(
    st.one_of(
        BOUNDS,
        st.tuples(BOUNDS, BOUNDS).map(" && ".join),
        st.tuples(BOUNDS, RULES).map(lambda two: f"{two[0]} && ({two[1]})"),
        st.tuples(BOUNDS, BOUNDS, BOUNDS).map(lambda three: f"({three[0]} || {three[1]}) && {three[2]}"),
    ),
    min_size=1,
    max_size=8,
)


def put(event, path, value):
    """The event with another amount."""
    return {**event, path[0]: value}


def find_amounts(event):
    """The numbers that an event has."""
    return {path: event[path[0]] for path in AMOUNTS if event[path[0]] is not None}


def check_near(sources, situations):
    """Compare what the index says with the compiled rules; how many near misses there were."""
    sources = [source for source in sources if is_taken(source)]
    codes = [check(source) for source in sources]
    rules = [compile_rule(code, LISTS) for code in codes]
    index = RuleIndex([read_clauses(decode_rule(code).root) for code in codes], LISTS)
    told = 0
    for sent, sent_user, cohorts in situations:
        event, user = read_event(sent), read_user(sent_user)
        found = index.list_near(event, user, cohorts, find_amounts(event))
        for slot, rule in enumerate(rules):
            if hold(rule, event, user, cohorts):
                continue
            for path in find_amounts(event):
                nears = [near for near in found.get(slot, ()) if near.path == path]
                least = min(nears, key=lambda near: near.need, default=None)
                if least and index.exact[slot] and least.sure:
                    told += 1
                    assert least.have < least.need
                    assert hold(rule, put(event, path, least.need), user, cohorts), f"{sources[slot]} at {least}"
                    assert not hold(rule, put(event, path, least.less), user, cohorts), f"{sources[slot]} below {least}"
    return told


@settings(max_examples=150)
@given(BOOKS, SITUATIONS)
def test_what_is_missing_is_enough_and_one_unit_less_is_not(sources, situations):
    check_near(sources, situations)


@settings(max_examples=60)
@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_whatever_is_missed_by_one_amount_alone_is_told(qty, stock, least_qty, least_stock):
    codes = [check(f"event.qty >= {least_qty} && event.stock > {least_stock}")]
    index = RuleIndex([read_clauses(decode_rule(code).root) for code in codes], LISTS)
    event = {"qty": qty, "stock": stock}
    found = index.list_near(event, {}, frozenset(), {("qty",): qty, ("stock",): stock})
    misses = {("qty",): least_qty - qty, ("stock",): least_stock + 1 - stock}
    missed = {path: by for path, by in misses.items() if by > 0}
    assert {near.path: near.need - near.have for near in found.get(0, ())} == (missed if len(missed) == 1 else {})


def test_an_upper_bound_on_the_same_attribute_holds_too():
    codes = [check(source) for source in ("event.qty >= 5 && event.qty < 9", "event.qty > 8 && event.qty < 9")]
    index = RuleIndex([read_clauses(decode_rule(code).root) for code in codes], LISTS)
    event = dict.fromkeys(("qty",), 2)
    found = index.list_near(event, {}, frozenset(), {("qty",): 2})
    assert {slot: [near.need for near in nears] for slot, nears in found.items()} == {0: [5]}


def test_a_rule_that_misses_two_amounts_is_not_near():
    codes = [check("event.qty >= 5 && event.stock >= 5")]
    index = RuleIndex([read_clauses(decode_rule(code).root) for code in codes], LISTS)
    amounts: dict[Path, Amount] = {("qty",): 2, ("stock",): 3}
    assert index.list_near({"qty": 2, "stock": 3}, {}, frozenset(), amounts) == {}
    assert [
        near.less for near in index.list_near({"qty": 2, "stock": 7}, {}, frozenset(), amounts | {("stock",): 7})[0]
    ] == [4]


def test_amounts_that_a_dial_can_not_tell_apart_are_found_all_the_same():
    codes = [check(f"event.qty >= {number}") for number in range(3_000)]
    index = RuleIndex([read_clauses(decode_rule(code).root) for code in codes], LISTS)
    found = index.list_near({"qty": 1_000}, {}, frozenset(), {("qty",): 1_000})
    assert {slot: near.need for slot, (near,) in found.items()} == {n: n for n in range(1_001, 3_000)}


def test_an_amount_that_is_barred_is_passed_over():
    codes = [check("(event.qty > 0 || event.qty > 2) && event.qty != 1")]
    index = RuleIndex([read_clauses(decode_rule(code).root) for code in codes], LISTS)
    assert min(near.need for near in index.list_near({"qty": 0}, {}, frozenset(), {("qty",): 0})[0]) == 2
