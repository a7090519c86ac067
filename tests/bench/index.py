"""What matching costs an event: at 10 and at 10,000 campaigns, and beside other ways to do it."""

import gc
import time
from collections.abc import Sequence
from statistics import mean, quantiles

from fillip.figures import Figure, at_most, expect, note
from tests.bench.engines import ENGINES, Engine, Situation, build_index
from tests.bench.site import Site
from tests.core.index_book import Made, make_broad, make_rules, make_situations, make_unindexed

MANY, EVENTS, TURNS = 10_000, 2_000, 5
COMPARED = 5  # events for the engines that run every rule


def bench(site: Site) -> list[Figure]:
    """One thread; attributes are typed already, as they are when match gets them."""
    site.tell("matching with 10 and 10,000 campaigns")
    return [*compare_sizes(), *compare_mixed(site)]


def compare_sizes() -> list[Figure]:
    """The same ten campaigns alone, and among 9,990 that no event meets: matches held constant."""
    situations = list(make_situations(EVENTS))
    awake = make_broad()
    engines = [build_index(awake), build_index([*awake, *make_rules(MANY - len(awake), seed=4, asleep=True)])]
    assert [engines[0](s) for s in situations] == [engines[1](s) for s in situations]
    matches = mean(map(engines[0], situations))
    few_us, many_us = (mean(find_best(engine, situations)) for engine in engines)
    return [
        note("matches an event, mean", round(matches, 2), "campaigns"),
        note("10 campaigns, mean", round(few_us, 2), "µs"),
        note("10,000 campaigns, mean", round(many_us, 2), "µs"),
        at_most("10,000 : 10 campaigns", 3, round(many_us / few_us, 2)),
    ]


def compare_mixed(site: Site) -> list[Figure]:
    """The mixed book through every engine; all must find as many campaigns met."""
    book: list[Made] = [*make_rules(MANY - 1), *make_unindexed(1)]
    situations = list(make_situations(EVENTS))
    found: dict[str, list[int]] = {}
    costs: dict[str, list[float]] = {}
    for name, build in ENGINES.items():
        site.tell(f"10,000 mixed campaigns: {name}")
        engine = build(book)
        some = situations if name in ("index", "hash only") else situations[:COMPARED]
        found[name] = [engine(situation) for situation in some]
        costs[name] = find_best(engine, some)
    others = [name for name in ENGINES if name != "index"]
    return [
        at_most("10,000 mixed campaigns, mean", 75, round(mean(costs["index"]), 1), "µs"),
        at_most("10,000 mixed campaigns, p99", 200, round(quantiles(costs["index"], n=100)[98], 1), "µs"),
        note("mixed: matches an event, mean", round(mean(found["index"]), 1), "campaigns"),
        expect("engines that find other matches", 0, sum(found[n] != found["index"][: len(found[n])] for n in others)),
        *(note(f"beside it, {name}", round(mean(costs[name]), 1), "µs") for name in others),
    ]


def find_best(engine: Engine, situations: Sequence[Situation]) -> list[float]:
    """µs for each event in its best turn, so that a busy machine does not count."""
    return [min(turns) for turns in zip(*(measure(engine, situations) for _ in range(TURNS)), strict=True)]


def measure(engine: Engine, situations: Sequence[Situation]) -> list[float]:
    """µs for each event, once everything was met before."""
    gc.collect()
    spent = []
    for situation in situations:
        began = time.perf_counter_ns()
        engine(situation)
        spent.append((time.perf_counter_ns() - began) / 1000)
    return spent
