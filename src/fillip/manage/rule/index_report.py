"""Whether the workers' index finds a campaign's rules, and what of them must be run: told when it is saved and read."""

from collections.abc import Mapping
from functools import lru_cache

from pydantic import BaseModel, Field

from fillip.core.campaign.campaign import Campaign, CheckedExpression
from fillip.core.campaign.expression import name_path
from fillip.core.index import read_clauses
from fillip.core.problem import Fault
from fillip.core.rule import decode_rule

MAX_KEPT = 4096


class Lookup(BaseModel):
    """How events find one rule. See the section Index of the rule reference."""

    path: str = Field(description="Of the rule in the definition", examples=["rule"])
    action: str
    indexed: bool = Field(description="Whether only some events of the action run the rule, found by `by`; else all do")
    by: list[str] = Field(description="The attributes that the index looks at", examples=[["event.category"]])
    why: str | None = Field(
        description="What of the rule can't be looked up, with its place, or null where the index alone decides",
        examples=["line 1, column 40: 'startsWith' can't be looked up: it runs for the events that the rest leaves"],
    )


def list_lookups(campaign: Campaign, checked: Mapping[str, CheckedExpression]) -> list[Lookup]:
    """One for each rule of a campaign, in its order; `checked` are its expressions by path."""
    lookups = []
    for rule in (each for each in campaign.expressions if each.is_rule):
        by, why = _read(checked[rule.path].code)
        indexed = bool(by) or why is None
        lookups.append(Lookup(path=rule.path, action=rule.action, indexed=indexed, by=list(by), why=why))
    return lookups


def list_never(campaign: Campaign, checked: Mapping[str, CheckedExpression]) -> list[Fault]:
    """A rule of a SIMPLE campaign that can't hold, as far as the index can tell; those of quests are refused."""
    if campaign.quest:
        return []
    never = _explain_never(checked[name_path("rule")].code)
    return [Fault("/rule", f"no event can meet it: {never}")] if never else []


@lru_cache(maxsize=MAX_KEPT)
def _explain_never(code: bytes) -> str | None:
    return read_clauses(decode_rule(code).root).explain_never()


@lru_cache(maxsize=MAX_KEPT)
def _read(code: bytes) -> tuple[tuple[str, ...], str | None]:
    """(attributes looked at, what is left)."""
    tree = decode_rule(code)
    clauses = read_clauses(tree.root)
    by = tuple(sorted({str(key) for key in clauses.keys}))
    if not clauses.leftovers:
        return by, None if by or not clauses.each else "it asks for nothing: every event of the action meets it"
    line, column = tree.locate(clauses.leftovers[0].offset)
    for_whom = "the events that the rest leaves" if by else "every event of the action"
    return by, f"line {line}, column {column}: {clauses.leftovers[0].reason}: the rule runs for {for_whom}"
