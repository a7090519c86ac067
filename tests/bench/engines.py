"""Other ways to match a book of rules against one event, each told as the number of rules that hold: beside the index."""

import re
from collections.abc import Callable, Sequence, Set
from typing import Any

import cel as rust_cel
import zen
from cel_expr_python import cel as google_cel
from google.protobuf import json_format, message_factory

from fillip.core.index import RuleIndex, read_clauses
from fillip.core.index.clause import Choice, Members
from fillip.core.rule import RuleError
from fillip.manage.rule.descriptor import PACKAGE, build_pool
from tests.core.index_book import ACTION, USER, Made

Situation = tuple[dict[str, Any], dict[str, Any], frozenset[str]]
Engine = Callable[[Situation], int]


def build_index(book: Sequence[Made]) -> Engine:
    """The index, and the rules it leaves to be run, compiled when first met."""
    index, rules = RuleIndex([read_clauses(made.root) for made in book]), _Rules(book)

    def match(situation: Situation) -> int:
        found, exact = index.find(*situation), index.exact
        return sum((sure and exact[slot]) or rules.hold(slot, situation) for slot, sure in found.items())

    return match


def build_brute_force(book: Sequence[Made]) -> Engine:
    """Every compiled rule."""
    rules = [made.compile() for made in book]
    return lambda situation: sum(_hold(rule, situation) for rule in rules)


def build_hash(book: Sequence[Made]) -> Engine:
    """A hash on one attribute of each rule, and every compiled rule found by it."""
    rules, tables = _Rules(book), dict[Any, dict[Any, list[int]]]()
    rest = []
    for slot, made in enumerate(book):
        key, values = _choose_hash(made)
        for value in values:
            tables.setdefault(key, {}).setdefault(value, []).append(slot)
        if key is None:
            rest.append(slot)

    def match(situation: Situation) -> int:
        slots: Set[int] = set(rest)
        for (name, many), table in tables.items():
            value = situation[0][name]
            for each in value if many else (value,):
                slots |= set(table.get(each, ()))
        return sum(rules.hold(slot, situation) for slot in slots)

    return match


def _choose_hash(made: Made) -> tuple[tuple[str, bool] | None, Set[Any]]:
    wants = read_clauses(made.root).each[0].wants
    for key, want in wants.items():
        if key.root == "event" and isinstance(want, Choice) and want.inside:
            return (key.path[0], False), want.values
        if key.root == "event" and isinstance(want, Members) and want.any_of:
            return (key.path[0], True), want.any_of
    return None, frozenset()


def build_rust_cel(book: Sequence[Made]) -> Engine:
    """common-expression-language: a prebuilt context an event."""
    programs = [rust_cel.compile(made.source) for made in book]

    def match(situation: Situation) -> int:
        context = rust_cel.Context(variables=_name(situation))
        return sum(program.execute(context) is True for program in programs)

    return match


def build_google_cel(book: Sequence[Made]) -> Engine:
    """cel-expr-python: a prebuilt activation an event."""
    pool = build_pool(event=ACTION, user=USER)
    variables = {name: google_cel.Type(f"{PACKAGE}.{name}") for name in ("event", "user")}
    variables["cohorts"] = google_cel.Type.List(google_cel.Type.STRING)
    environment = google_cel.NewEnv(descriptor_pool=pool, variables=variables)
    rules = [environment.compile(made.source) for made in book]
    make = {n: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{n}")) for n in ("event", "user")}

    def match(situation: Situation) -> int:
        given = _name(situation)
        messages = {name: json_format.ParseDict(_drop_null(given[name]), made()) for name, made in make.items()}
        activation = environment.Activation({**messages, "cohorts": given["cohorts"]})
        return sum(rule.eval(activation).value() is True for rule in rules)

    return match


def build_zen(book: Sequence[Made]) -> Engine:
    """zen-engine: a compiled expression a rule."""
    rules = [zen.compile_expression(_write_zen(made.source)) for made in book]

    def match(situation: Situation) -> int:
        given = _name(situation)
        return sum(rule.evaluate(given) is True for rule in rules)

    return match


def _write_zen(source: str) -> str:
    source = re.sub(
        r'event\.tags\.exists\(tag, tag\.startsWith\((".*?")\)\)', r"some(event.tags, startsWith(#, \1))", source
    )
    return source.replace("&&", "and").replace("!(", "not(")


class _Rules:
    """Compiled when first run, as the worker does."""

    def __init__(self, book: Sequence[Made]) -> None:
        self._book = book
        self._made: dict[int, Any] = {}

    def hold(self, slot: int, situation: Situation) -> bool:
        rule = self._made.get(slot)
        if rule is None:
            rule = self._made[slot] = self._book[slot].compile()
        return _hold(rule, situation)


def _hold(rule: Any, situation: Situation) -> bool:
    try:
        return bool(rule(*situation))
    except RuleError:
        return False


def _name(situation: Situation) -> dict[str, Any]:
    event, user, cohorts = situation
    return {"event": event, "user": user, "cohorts": sorted(cohorts)}


def _drop_null(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


ENGINES: dict[str, Callable[[Sequence[Made]], Engine]] = {
    "index": build_index,
    "hash only": build_hash,
    "brute force, compiled": build_brute_force,
    "cel-expr-python": build_google_cel,
    "common-expression-language": build_rust_cel,
    "zen-engine": build_zen,
}
