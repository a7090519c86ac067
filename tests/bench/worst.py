"""The worst definitions that saving accepts: what each can cost at saving, at the door, in the worker and in explain.

Milliseconds of CPU of one thread, in the best of some turns: neighbours on the machine do not count.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from statistics import quantiles

from msgspec import convert

from fillip.app.api import SWITCH_S
from fillip.core.campaign.campaign import Campaign
from fillip.core.campaign.vocabulary import TypeContext, Vocabulary
from fillip.core.errors import Refused
from fillip.core.index import read_clauses
from fillip.core.rule import RuleError, compile_rule, decode_rule, explain_rule
from fillip.core.schema.check_schema import check_schema
from fillip.core.schema.coerce import SchemaViolation, build_coercer
from fillip.core.schema.compatibility import find_breaks
from fillip.core.schema.reader import build_reader
from fillip.core.schema.types import EMPTY
from fillip.figures import Figure, at_most, note
from fillip.manage.campaign.checks import check_campaign
from fillip.manage.request.aside import Aside
from fillip.manage.rule.checker import check_rule
from tests.core.rule_bombs import SOUND
from tests.core.worst import ACTION, COHORTS, Worst, list_worst_rules, list_worst_schemas

EVENT_MS, EXPLAIN_MS, SAVE_MS, LOOP_MS = 10, 100, 50, 10
TURNS = 3
WATCHED_S = 3.0

Timed = tuple[float, str]


def bench_worst() -> list[Figure]:
    """One figure with its goal for each way, of the worst of all kinds; and what that was."""
    rules, schemas = list(list_worst_rules()), list(list_worst_schemas())
    definition = find_worst_definition(rules)
    figures = [
        show("in the worker, an event by the worst rule", EVENT_MS, [time_rule(worst) for worst in rules]),
        show("in explain, an event by the worst rule", EXPLAIN_MS, [time_explanation(worst) for worst in rules]),
        show("in the worker, compiling the worst rule, once", SAVE_MS, [time_loading(worst) for worst in rules]),
        show("at saving, the worst rule", SAVE_MS, [time_saving(worst) for worst in rules]),
        show("at saving, the worst that is refused", SAVE_MS, [time_refusal(n, s) for n, s in list_refused()]),
        show("at saving, the worst definition", SAVE_MS, [time_definition(definition)]),
        show("at the door, an event by the worst schema", EVENT_MS, [time_reading(worst) for worst in schemas]),
        show("at the door, a fault under the worst schema", EVENT_MS, [time_fault(worst) for worst in schemas]),
        show("at saving, the worst schema", SAVE_MS, [time_schema(worst) for worst in schemas]),
        show("at saving, the worst schema after the worst", SAVE_MS, [time_breaks(worst) for worst in schemas]),
    ]
    waits = asyncio.run(watch_loop(lambda: check_campaign(definition, SHAPES)))
    cuts = quantiles(waits, n=100)
    figures += [
        at_most("the loop waits while that is saved, p99", LOOP_MS, round(cuts[98], 1), "ms"),
        note("the loop waits while that is saved, longest", round(max(waits), 1), "ms"),
    ]
    return figures


SHAPES = Vocabulary("USD", TypeContext({"BUY": ACTION}, cohorts=()))


def show(name: str, goal_ms: float, timed: list[Timed]) -> Figure:
    """The slowest of these, and which one it was."""
    slowest_ms, which = max(timed)
    return at_most(f"{name} ({which})", goal_ms, round(slowest_ms, 2), "ms")


def time_ms(call: Callable[[], object]) -> float:
    """CPU ms of a call, errors of rules and refusals included."""
    taken = []
    for _ in range(TURNS):
        began = time.thread_time()
        with suppress(RuleError, Refused):
            call()
        taken.append(time.thread_time() - began)
    return min(taken) * 1000


def time_rule(worst: Worst) -> Timed:
    """One event by one rule."""
    rule, event = compile_rule(worst.definition.checked), build_coercer(ACTION)(worst.event)
    return time_ms(lambda: rule(event, {}, COHORTS)), worst.name


def time_explanation(worst: Worst) -> Timed:
    """All conditions of one rule."""
    event, rule = build_coercer(ACTION)(worst.event), worst.definition
    return time_ms(lambda: explain_rule(rule.source, rule.checked, event, {}, COHORTS)), worst.name


def time_loading(worst: Worst) -> Timed:
    """What a worker does once for each version: decode, compile, and find what the index may ask."""
    code = worst.definition.checked
    return time_ms(lambda: (compile_rule(code), read_clauses(decode_rule(code).root))), worst.name


def time_saving(worst: Worst) -> Timed:
    """The check of one rule."""
    return time_ms(lambda: check_rule(worst.definition.source, ACTION, EMPTY)), worst.name


def list_refused() -> list[tuple[str, str]]:
    """Sources that take long before they are refused."""
    return [
        ("ints beside doubles", "||".join(["event.d == 1"] * 330)),
        ("ints deep beside doubles", "||".join(["event.d*(event.d*(event.d*(event.d+1)+1)+1)>1"] * 62)),
        ("quotes that do not end", "'\\" * 4000),
        ("quotes within quotes", "'''" + "\\'''" * 2000),
        ("wrong from the first word", "||".join(["event.x == 1"] * 330)),
        ("words without sense", "@" * 1990),
        ("letters for a pattern", r"event.s.matches('" + r"\\pL" * 120 + "')"),
        ("many patterns", "||".join(f"event.s.matches('[ab]{{0,30}}{n}')" for n in range(200))),
        ("no condition", SOUND + "event.a"),
    ]


def time_refusal(name: str, source: str) -> Timed:
    """The check of one source that is refused."""
    return time_ms(lambda: check_rule(source, ACTION, EMPTY)), name


def find_worst_definition(rules: list[Worst]) -> Campaign:
    """A quest whose steps have the rule that takes longest to be saved, in as many pieces as all bounds let pass."""
    slowest = max((w for w in rules if w.definition.cost < 4000), key=lambda worst: time_saving(worst)[0])
    source = "||".join(slowest.definition.source.split("||")[: slowest.times // 2])
    for steps in range(20, 0, -1):
        parts = [{"name": f"s{number}", "action": "BUY", "rule": source} for number in range(steps)]
        made = {"kind": "QUEST", "name": slowest.name, "quest": {"steps": parts}, "rewards": [{"kind": "badge"}]}
        campaign = convert(made, Campaign)
        try:
            check_campaign(campaign, SHAPES)
        except Refused:
            continue
        return campaign
    raise AssertionError("no step at all is allowed")


def time_definition(campaign: Campaign) -> Timed:
    """All that saving a definition computes: every expression, and all together."""
    return time_ms(lambda: check_campaign(campaign, SHAPES)), campaign.name


def time_reading(worst: Worst) -> Timed:
    """One event at the door."""
    read = build_reader(worst.definition)
    return time_ms(lambda: read(worst.event)), worst.name


def time_fault(worst: Worst) -> Timed:
    """One event that fails at the end."""
    read = build_reader({**worst.definition, "required": ["absent"]})
    failed: list[SchemaViolation] = []

    def fail() -> None:
        try:
            read(worst.event)
        except SchemaViolation as violation:
            failed.append(violation)

    taken_ms = time_ms(fail)
    assert failed
    return taken_ms, worst.name


def time_schema(worst: Worst) -> Timed:
    """The check of one schema."""
    return time_ms(lambda: check_schema(worst.definition)), worst.name


def time_breaks(worst: Worst) -> Timed:
    """Whether a schema takes what it took before, value by value."""
    wider = {**worst.definition, "description": "the same"}
    return time_ms(lambda: find_breaks(worst.definition, wider)), worst.name


async def watch_loop(save: Callable[[], object]) -> list[float]:
    """ms by which a loop that asks for a millisecond's sleep is late while definitions are saved beside it."""
    before_s, aside, waits = sys.getswitchinterval(), Aside(), []
    sys.setswitchinterval(SWITCH_S)
    over_at = time.perf_counter() + WATCHED_S

    async def keep_saving(tenant: str) -> None:
        while time.perf_counter() < over_at:
            await aside.run(tenant, save)

    saving = [asyncio.create_task(keep_saving(tenant)) for tenant in ("a", "b")]
    while time.perf_counter() < over_at:
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        waits.append((time.perf_counter() - began - 0.001) * 1000)
    await asyncio.gather(*saving)
    sys.setswitchinterval(before_s)
    return waits
