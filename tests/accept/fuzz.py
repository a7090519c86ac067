"""fuzz: random typed rules on random events, by our compiler (fast and exact), by our index, and by Google's CEL."""

import os
from collections.abc import Callable
from random import Random
from string import Formatter
from typing import Any

from rich.markup import escape

from fillip.core.index import RuleIndex, read_clauses
from fillip.core.rule import compile_rule, decode_rule
from fillip.core.rule.compile import build_exact
from fillip.figures import Figure, at_least, expect, note
from tests.core.rule_shop import (
    ACTION,
    ENVIRONMENT,
    LIST_MESSAGE,
    LISTS,
    USER,
    build_message,
    check,
    is_taken,
    read_event,
    read_user,
)
from tests.core.test_rule_differential import ATOMS, FORMS, answer_cel, ask_ours

EVALUATIONS, DEPTH, RULES_AT_ONCE = 100_000, 4, 8
INTS = [0, 1, -1, 2, 7, -7, 500, 2**31, 2**53 + 1, 2**62, -(2**62), -(2**63), 2**63 - 1]
DOUBLES = [0.0, -0.0, 0.1, 1.5, -2.25, 500.0, 2.0**53, 1e18, 9.3e18, 1e300, -1e300, 5e-324]
WORDS = ["", "a", "ab", "A", "é", "e\u0301", "𝄞", "ß", "\u200d", "12", "-7", "+1", " 3", "1.5", "nan", "inf", "true", "False",
         "1h", "-1.5s", "2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "a\nb", "Europe/Paris", "+05:30"]  # fmt: skip
INSTANTS = ["1970-01-01T00:00:00Z", "2026-03-29T01:30:00.250Z", "2000-02-29T23:59:59+05:30", "1969-12-31T23:59:59.999Z",
            "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2026-10-25T00:59:59Z"]  # fmt: skip


def accept(tell: Callable[[str], None]) -> list[Figure]:
    """As many evaluations as the goal says; FILLIP_FUZZ_SEED gives other ones."""
    seed = int(os.environ.get("FILLIP_FUZZ_SEED", "1"))
    random, done, rules, errors, wrong = Random(seed), 0, 0, 0, []
    situations = [(make_event(random), make_user(random), make_cohorts(random)) for _ in range(400)]
    messages = [
        {
            "event": build_message("event", ACTION, event),
            "user": build_message("user", USER, user),
            "cohorts": sorted(c),
            "lists": LIST_MESSAGE,
        }
        for event, user, c in situations
    ]
    typed = [(read_event(event), read_user(user), cohorts) for event, user, cohorts in situations]
    while done < EVALUATIONS:
        sources = [source for _ in range(RULES_AT_ONCE) if is_taken(source := grow(random, "bool", DEPTH))]
        codes = [check(source) for source in sources]
        forms = [(compile_rule(code, LISTS), build_exact(decode_rule(code).root, LISTS)) for code in codes]
        index = RuleIndex([read_clauses(decode_rule(code).root) for code in codes], LISTS)
        expressions = [ENVIRONMENT.compile(source) for source in sources]
        rules += len(sources)
        for place in random.sample(range(len(situations)), 32):
            found = index.find(*typed[place])
            for slot, source in enumerate(sources):
                wanted = answer_cel(expressions[slot], messages[place])
                got = [ask_ours(form, *typed[place]) for form in forms[slot]]
                missed = wanted is True and slot not in found
                sure = bool(found.get(slot)) and index.exact[slot] and wanted is not True
                done, errors = done + 1, errors + (wanted is None)
                if got != [wanted, wanted] or missed or sure:
                    wrong.append(f"{source} on {situations[place]}: CEL {wanted}, fast and exact {got}, index {missed}")
    for line in wrong[:20]:
        tell(escape(line))
    return [
        at_least("evaluations", EVALUATIONS, done),
        expect("mismatches with cel-expr-python", 0, len(wrong)),
        note("rules", rules),
        note("evaluations whose answer is an error", errors),
        note("seed", seed),
    ]


def grow(random: Random, kind: str, depth: int) -> str:
    """The text of a well-typed expression; its first form is never an atom."""
    if depth == 0 or (depth < DEPTH and random.randrange(6) == 0):
        return random.choice(ATOMS[kind])
    form = random.choice(FORMS[kind])
    parts = [(text, hole and grow(random, hole, depth - 1)) for text, hole, _, _ in Formatter().parse(form)]
    return "".join(text + (hole or "") for text, hole in parts)


def make_event(random: Random) -> dict[str, Any]:
    """A purchase at the boundaries of its types."""
    return {
        "qty": random.choice(INTS),
        "stock": random.choice([None, *INTS]),
        "price": random.choice(DOUBLES),
        "rate": random.choice([None, *DOUBLES]),
        "category": random.choice(WORDS),
        "coupon": random.choice([None, *WORDS]),
        "gift": random.choice([True, False]),
        "member": random.choice([None, True, False]),
        "at": random.choice(INSTANTS),
        "tags": random.choices(WORDS, k=random.randrange(4)),
        "scores": random.choices(DOUBLES, k=random.randrange(4)),
        "lines": [{"sku": random.choice(WORDS), "n": random.choice(INTS)} for _ in range(random.randrange(4))],
    }


def make_user(random: Random) -> dict[str, Any]:
    """Attributes that may all be absent."""
    return {"tier": random.choice([None, *WORDS]), "vip": random.choice([None, True, False])}


def make_cohorts(random: Random) -> frozenset[str]:
    """At most two."""
    return frozenset(random.sample(WORDS, random.randrange(3)))
