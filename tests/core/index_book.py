"""A book of thousands of mixed rules as a retailer would have them, and purchases that meet some sixteen of 10,000."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from fillip.core.rule import Rule, decode_rule
from fillip.core.rule.compile import build_exact, build_fast
from fillip.core.rule.tree import Call, Const, Fold, Has, Items, Literals, Node, Select
from fillip.core.schema.coerce import build_coercer
from fillip.core.schema.types import derive_type
from fillip.manage.rule.checker import check_rule

ACTION = derive_type({
    "type": "object",
    "required": ["sku", "store", "category", "amount", "rating", "member", "tags"],
    "properties": {
        "sku": {"type": "string"}, "store": {"type": "string"}, "category": {"type": "string"},
        "amount": {"type": "integer"}, "rating": {"type": "number"}, "member": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}}, "coupon": {"type": "string"},
    },
})  # fmt: skip
USER = derive_type({"type": "object", "properties": {"tier": {"type": "string"}, "age": {"type": "integer"}}})
STORES, KINDS, TAGS, TIERS = 60, 40, 30, ("basic", "silver", "gold")
SKUS, COUPONS, COHORTS, HIGHEST = 4_000, 1_000, 50, 100_000

# (share in percent, rule): a number stands for the literal at that place in a draw
FORMS = (
    (30, 'event.sku == "0" && event.amount >= 1'),
    (15, 'event.store in ["2", "3"] && event.amount >= 4'),
    (14, 'event.category == "5" && event.amount >= 6 && event.amount < 7'),
    (10, 'event.category in ["5", "8"] && event.rating > 9.5 && event.member'),
    (10, '"10" in event.tags && event.store == "2" && event.amount > 4'),
    (7, 'user.tier == "11" && event.category == "5" && event.amount >= 6'),
    (6, 'event.coupon == "12"'),
    (4, '"13" in cohorts && event.category == "5"'),
    (2, 'event.store == "2" && !(event.category == "5") && user.age >= 14 && event.amount >= 4'),
    (2, 'event.sku == "0" && event.tags.exists(tag, tag.startsWith("10"))'),
)
BROAD = (
    "event.amount >= 5000 && event.member",
    "event.amount >= 2000 && event.amount < 6000 && event.rating > 2.5",
    'event.category in ["kind-1", "kind-2", "kind-3", "kind-4"] && event.amount >= 1000',
    'event.store in ["store-1", "store-2", "store-3"]',
    '"tag-1" in event.tags || "tag-2" in event.tags',
    'user.tier == "gold" && event.amount >= 10000',
    "has(event.coupon) && user.age < 30",
    '"cohort-1" in cohorts || "cohort-2" in cohorts',
    'event.sku == "sku-1" || !event.member && event.rating >= 4.5',
    "event.member && event.tags.exists(tag, tag.startsWith('tag-1'))",
)
UNINDEXED = "event.amount % 997 == 15"


@dataclass(frozen=True)
class Made:
    """One rule: its source and its checked tree."""

    source: str
    root: Node

    def compile(self) -> Rule:
        """As compile_rule does."""
        return build_fast(self.root, build_exact(self.root))


def make_rules(count: int, seed: int = 0, asleep: bool = False) -> list[Made]:
    """Rules in the shares of FORMS; `asleep` ones ask for the same, and for an amount, or else, no event has."""
    dice = random.Random(seed)
    forms = dice.choices([form for _, form in FORMS], [share for share, _ in FORMS], k=count)
    return [_make(form, _draw(dice, asleep)) for form in forms]


def make_broad() -> list[Made]:
    """Ten rules of all kinds, of which an event meets some two."""
    return [_make(form, {}) for form in BROAD]


def make_unindexed(count: int) -> list[Made]:
    """Rules that must run for every event."""
    return [_make(UNINDEXED, {15: number}) for number in range(count)]


def draw_attributes(dice: random.Random) -> dict[str, Any]:
    """Those of an event, as its sender says them."""
    return {
        "sku": f"sku-{dice.randrange(SKUS)}",
        "store": f"store-{dice.randrange(STORES)}",
        "category": f"kind-{dice.randrange(KINDS)}",
        "amount": min(int(dice.expovariate(1 / 6_000)), HIGHEST),
        "rating": round(dice.random() * 5, 2),
        "member": dice.random() < 0.5,
        "tags": [f"tag-{number}" for number in dice.sample(range(TAGS), dice.randrange(4))],
        "coupon": f"coupon-{dice.randrange(COUPONS)}" if dice.random() < 0.3 else None,
    }


def make_situations(count: int, seed: int = 1) -> Iterator[tuple[dict[str, Any], dict[str, Any], frozenset[str]]]:
    """(event, user, cohorts) as compiled rules take them."""
    dice, read_event, read_user = random.Random(seed), build_coercer(ACTION), build_coercer(USER)
    for _ in range(count):
        event = draw_attributes(dice)
        user = {"tier": dice.choice(TIERS), "age": dice.randrange(18, 80)}
        cohorts = frozenset(f"cohort-{number}" for number in dice.sample(range(COHORTS), 2))
        yield read_event(event), read_user(user), cohorts


def _draw(dice: random.Random, asleep: bool) -> dict[int, Literals]:
    """A literal for each number of the forms; thresholds are round, and most lie high."""
    low, mark, far = dice.randrange(5, 200) * 100, "x-" if asleep else "", HIGHEST if asleep else 0
    return {
        0: f"sku-{dice.randrange(SKUS)}", 1: far + low // 2,
        2: f"store-{dice.randrange(STORES)}", 3: f"store-{dice.randrange(STORES)}", 4: far + low + 2_000,
        5: f"kind-{dice.randrange(KINDS)}", 6: far + low, 7: far + low + dice.randrange(5, 50) * 100,
        8: f"kind-{dice.randrange(KINDS)}", 9: (5.0 if asleep else 4.5) + dice.randrange(10) / 20,
        10: f"{mark}tag-{dice.randrange(TAGS)}", 11: dice.choice(TIERS), 12: f"{mark}coupon-{dice.randrange(COUPONS)}",
        13: f"{mark}cohort-{dice.randrange(COHORTS)}", 14: dice.randrange(20, 70),
    }  # fmt: skip


def _make(form: str, literals: dict[int, Literals]) -> Made:
    """The form with its literals filled in, in its text and in its tree: checking 10,000 rules would take 10 s."""
    source, _ = _check(form)
    for number, value in literals.items():
        source = source.replace(f'"{number}"', f'"{value}"').replace(f" {number}.5", f" {value!r}")
        source = _fill_number(source, f" {number}", f" {value}") if isinstance(value, int) else source
    return Made(source, _fill(_check(form)[1], literals))


def _fill_number(source: str, number: str, value: str) -> str:
    parts = source.split(number)
    return "".join(
        part + ("" if place == len(parts) - 1 else number if parts[place + 1][:1].isdigit() else value)
        for place, part in enumerate(parts)
    )


@cache
def _check(form: str) -> tuple[str, Node]:
    return form, decode_rule(check_rule(form, ACTION, USER).checked).root


def _fill(node: Node, literals: dict[int, Literals]) -> Node:
    if isinstance(node, Const):
        given = str(node.value).removesuffix(".5")
        return replace(node, value=literals[int(given)]) if given.isdigit() and int(given) in literals else node
    if isinstance(node, Call):
        return replace(node, args=_fill_all(node.args, literals))
    if isinstance(node, Items):
        return replace(node, items=_fill_all(node.items, literals))
    if isinstance(node, Fold):
        return replace(node, over=_fill(node.over, literals), test=node.test and _fill(node.test, literals))
    return replace(node, operand=_fill(node.operand, literals)) if isinstance(node, Select | Has) else node


def _fill_all(nodes: Sequence[Node], literals: dict[int, Literals]) -> tuple[Node, ...]:
    return tuple(_fill(node, literals) for node in nodes)
