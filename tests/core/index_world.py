"""Rules and events for the index's tests: the compiler's, and more of the kind that can be looked up."""

from hypothesis import strategies as st

from fillip.core.index import RuleIndex, read_clauses
from fillip.core.rule import RuleError, compile_rule, decode_rule
from tests.core.rule_shop import LISTS, check, is_taken, read_event, read_user
from tests.core.test_rule_differential import EVENTS, USERS, WORDS, expressions

_WORD = st.sampled_from(["'a'", "'ab'", "'é'", "''", "'12'"])
_INT = st.sampled_from(["0", "1", "-1", "2", "7", "-7", "9223372036854775807", "-9223372036854775808"])
_DOUBLE = st.sampled_from(["0.0", "-0.0", "1.5", "-2.25", "500.0", "1e300"])
_INSTANT = st.sampled_from(["timestamp('1970-01-01T00:00:00Z')", "timestamp('2026-03-29T01:30:00.25Z')"])
_ORDER = st.sampled_from(["<", "<=", ">", ">="])
_SAME = st.sampled_from(["==", "!="])


def _compare(paths, sign, value):
    """`path sign value`, or the other way round."""
    parts = st.tuples(st.sampled_from(paths), sign, value)
    return parts.flatmap(lambda p: st.sampled_from([f"{p[0]} {p[1]} {p[2]}", f"{p[2]} {p[1]} {p[0]}"]))


def _list(value):
    return st.lists(value, min_size=1, max_size=4).map(lambda values: f"[{', '.join(values)}]")


ATOMS = st.one_of(
    _compare(["event.category", "event.coupon", "user.tier"], _SAME, _WORD),
    _compare(["event.qty", "event.stock"], _SAME | _ORDER, _INT),
    _compare(["event.price", "event.rate"], _SAME | _ORDER, _DOUBLE),
    _compare(["event.category", "event.coupon", "user.tier"], _ORDER, _WORD),
    _compare(["event.at"], _SAME | _ORDER, _INSTANT),
    _compare(["event.gift", "event.member", "user.vip"], _SAME, st.sampled_from(["true", "false"])),
    _compare(["event.stock", "event.coupon", "event.member", "user.tier"], _SAME, st.just("null")),
    st.tuples(st.sampled_from(["event.category", "event.coupon", "user.tier"]), _list(_WORD)).map(" in ".join),
    st.tuples(st.sampled_from(["event.qty", "event.stock"]), _list(_INT)).map(" in ".join),
    st.tuples(st.sampled_from(["event.price", "event.rate"]), _list(_DOUBLE)).map(" in ".join),
    st.tuples(_WORD, st.sampled_from(["event.tags", "cohorts", "lists.words"])).map(" in ".join),
    st.sampled_from(["event.category in lists.words", "event.coupon in lists.words", "user.tier in lists.words",
                     "event.qty in lists.numbers", "event.stock in lists.numbers", "event.coupon in lists.none"]),
    st.tuples(_DOUBLE, st.just("event.scores")).map(" in ".join),
    st.sampled_from(["event.gift", "event.member", "user.vip", "has(event.stock)", "has(event.tags)", "has(user.tier)",
                     "true", "false"]),
)  # fmt: skip
RULES = st.recursive(
    ATOMS | expressions(depth=2),
    lambda rules: st.one_of(
        st.tuples(rules, rules).map(lambda two: f"({two[0]} && {two[1]})"),
        st.tuples(rules, rules).map(lambda two: f"({two[0]} || {two[1]})"),
        rules.map(lambda one: f"!({one})"),
    ),
    max_leaves=6,
)
BOOKS = st.lists(RULES, min_size=1, max_size=8)
SITUATION = st.tuples(EVENTS, USERS, st.frozensets(WORDS, max_size=2))
SITUATIONS = st.lists(SITUATION, min_size=1, max_size=8)


def hold(rule, event, user, cohorts):
    """Whether a compiled rule is true."""
    try:
        return rule(event, user, cohorts) is True
    except RuleError:
        return False


def compare(sources, situations, change=lambda event: event):
    """Run every rule on every situation, by the index and without; the number of answers compared.

    Fails where a rule that is true is not found, or one that is found as sure is not true.
    """
    sources = [source for source in sources if is_taken(source)]
    codes = [check(source) for source in sources]
    rules = [compile_rule(code, LISTS) for code in codes]
    index = RuleIndex([read_clauses(decode_rule(code).root) for code in codes], LISTS)
    for event, user, cohorts in situations:
        values = change(read_event(event)), read_user(user), cohorts
        found = index.find(*values)
        for slot, rule in enumerate(rules):
            held = hold(rule, *values)
            assert slot in found or not held, f"missed: {sources[slot]} for {values}"
            assert held or not (found.get(slot) and index.exact[slot]), f"not true: {sources[slot]} for {values}"
    return len(rules) * len(situations)
