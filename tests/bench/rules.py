"""What a rule costs: to check at saving, to evaluate, and when it fails; and the worst that may be saved."""

import timeit
from statistics import median

from fillip.core.rule import RuleError, RuleRefused, compile_rule
from fillip.core.schema.coerce import build_coercer
from fillip.core.schema.types import derive_type
from fillip.figures import Figure, at_most, note
from fillip.manage.rule.checker import check_rule
from tests.bench.load import RULES, SCHEMA
from tests.bench.rivals import list_rivals
from tests.bench.site import Site
from tests.bench.worst import bench_worst
from tests.core.rule_bombs import CLAUSES, SOUND
from tests.core.rule_shop import WIDE

SOURCE = 'event.amount >= 500 && event.category in ["book", "game", "toy"] && user.tier == "gold"'
FAILING = "event.amount % event.zero == 1"
ACTION = derive_type({**SCHEMA, "properties": {**SCHEMA["properties"], "zero": {"type": "integer"}}})
USER = derive_type({"type": "object", "properties": {"tier": {"type": "string"}}})
EVENT = {"amount": 700, "rating": 4.5, "category": "game", "store": "web", "member": True, "tags": ["new"], "zero": 0}
TURNS, CALLS = 7, 20_000


def bench(site: Site) -> list[Figure]:
    """The goals of the rule language; the best of several turns, so that a busy machine does not count."""
    site.tell("checking, compiling and running rules")
    typed, user = build_coercer(ACTION)(EVENT), build_coercer(USER)({"tier": "gold"})
    checked = check_rule(SOURCE, ACTION, USER).checked
    rule, failing = compile_rule(checked), compile_rule(check_rule(FAILING, ACTION, USER).checked)
    assert rule(typed, user, frozenset()) is True

    def fail() -> None:
        try:
            failing(typed, user, frozenset())
        except RuleError:
            return
        raise AssertionError("a division by zero passed")

    return [
        at_most("predicate of three terms", 1, best_us(lambda: rule(typed, user, frozenset())), "µs"),
        at_most("error path", 20, best_us(fail), "µs"),
        at_most("check at saving, median of 20 rules", 5, check_ms(), "ms"),
        at_most(f"refusing the slowest of {len(CLAUSES)} rule bombs", 50, max(map(refuse_ms, CLAUSES)), "ms"),
        *compare(rule(typed, user, frozenset())),
        note("compile, once a version", best_us(lambda: compile_rule(checked), 200) / 1000, "ms"),
        *bench_worst(),
    ]


def best_us(call: object, calls: int = CALLS) -> float:
    """µs a call, in the best turn."""
    return min(timeit.repeat(call, number=calls, repeat=TURNS)) / calls * 1e6  # type: ignore[arg-type]


def compare(wanted: object) -> list[Figure]:
    """The same predicate by other evaluators; each must give the same answer."""
    figures = []
    for name, call in list_rivals(SOURCE, ACTION, USER, EVENT, {"tier": "gold"}).items():
        assert call() is wanted, name
        figures.append(note(f"the same by {name}", best_us(call, CALLS // 10), "µs"))
    return figures


def refuse_ms(name: str) -> float:
    """ms to refuse one of the bombs, in the best of three turns."""
    source = SOUND + CLAUSES[name][0]

    def refuse() -> None:
        try:
            check_rule(source, WIDE, USER)
        except RuleRefused:
            return
        raise AssertionError(f"a bomb was saved: {name}")

    return min(timeit.repeat(refuse, number=1, repeat=3)) * 1000


def check_ms() -> float:
    """ms to check one of the load's rules."""
    return median(best_us(lambda rule=rule: check_rule(rule, ACTION, USER), 1) for rule in RULES) / 1000
