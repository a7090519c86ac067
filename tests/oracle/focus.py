"""What sequences are cut to that look for one planted fault: with all else out of the way it comes up within seconds."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RULE_MARKER, RuleBasedStateMachine, initialize

from tests.oracle.asking import AskingMachine
from tests.oracle.catalogue import DEFINITIONS
from tests.oracle.machine import SIZES, Machine


@dataclass(frozen=True)
class Focus:
    """What is launched and what may happen, besides that users do something and workers read it.

    All `campaigns` are launched at once; `later` are those that come in shadow, or with a backfill. `limits` has the caps that each may have;
    `rules` are rules of the machine.
    """

    campaigns: tuple[str, ...] = ("any",)
    limits: Mapping[str, Sequence[int]] = field(default_factory=dict)
    rules: tuple[str, ...] = ()
    clock: str | None = None
    later: tuple[str, ...] = ()
    machine: type[Machine] = Machine


def narrow(focus: Focus) -> dict[str, Any]:
    """What of a Machine is to be otherwise, so that its sequences are cut to this."""

    @initialize(
        clock=st.just(focus.clock) if focus.clock else st.sampled_from(["live", "history"]),
        limits=st.tuples(*[st.tuples(st.just(name), st.sampled_from(caps)) for name, caps in focus.limits.items()]),
        size=st.sampled_from(SIZES),
    )
    def open_narrow(self: Machine, clock: str, limits: Sequence[tuple[str, int]], size: int) -> None:
        Machine.open(self, clock, set(focus.campaigns), limits, size)

    catalogue = {name: DEFINITIONS[name] for name in (*focus.campaigns, *focus.later)}
    return {"open": open_narrow, "catalogue": catalogue, **drop_rules(focus.machine, {"consume", *focus.rules})}


def drop_rules(machine: type[RuleBasedStateMachine], kept: Collection[str]) -> dict[str, Callable[..., Any]]:
    """Methods in place of all rules but these: the same, but called by others alone."""
    rules = {name: each for name in dir(machine) if hasattr(each := getattr(machine, name), RULE_MARKER)}
    assert rules.keys() >= set(kept), f"{kept} are not all rules of {machine}"
    return {name: getattr(each, RULE_MARKER).function for name, each in rules.items() if name not in kept}


ANY = Focus()
NAMED = Focus(rules=("produce_again", "replay"))
ZOMBIES = Focus(rules=("stall", "wake", "race"))
CRASHES = Focus(rules=("crash", "replay"))
LATE = Focus(clock="live")
REVERSALS = Focus(("any", "two"), rules=("take_back", "mix"))
GIVEN_BACK = Focus(("any",), {"each-day": (1, 3), "daily": (1, 3)}, ("take_back", "mix"))
COUNTS = Focus(("any", "big"), {"each-day": (1, 3), "daily": (1, 3, 9)}, ("produce",))
VALUES = Focus(("any", "big"), {"each-week": (100, 140, 170)})
RACES = Focus(("any",), {"daily": (1, 3)}, ("race", "join"))
HINTS = Focus(("any",), {"each-day": (1, 3), "daily": (3, 50)}, ("spread_rumours",))
KEYS = Focus(("any",), {"shops": (1, 3)})
LEFT_OVER = Focus(("any", "big"), {"budget": (100, 170, 400)})
CURRENCIES = Focus(("two",), {"points": (50, 130), "miles": (40, 79)}, ("take_back",))
ROLLING = Focus(("any",), {"rolling": (1, 3)}, ("take_back",))
OWN_DAYS = Focus(("any", "own-streak"), {"own-day": (1, 3)}, ("travel",))
TIMES = Focus(("night", "nights", "soon"), clock="live")
DATES = Focus(("ending", "kept"), clock="live")
OWN_DATES = Focus(("own-ending", "own-streak"), rules=("travel",), clock="live")
RIVALS = Focus(("most", "least", "alone", "any"))
OPENED_BY = Focus(("soon", "summed", "echo"), rules=("take_back_first", "shop_around"))
ROUTES = Focus(("echo",), rules=("shop_around",))
QUESTS = Focus(("twice", "joined", "ladder", "own-streak"), rules=("produce", "take_back_first"))
FOLLOWED = Focus(("pair",), clock="history")
DAYS_IN_A_ROW = Focus(("streak", "own-streak"), rules=("come_daily",))
DISTINCT = Focus(("shops",), rules=("take_back_first", "take_back", "mix"))
MIGRATIONS = Focus(("twice", "ladder", "by-shop"), rules=("redefine", "take_back", "take_back_first"))
KEPT = Focus(("twice",), rules=("return_under_a_kept_version",), clock="history")
CHANGES = Focus(("any", "big"), rules=("redefine",), clock="live")
UNDONE = Focus(("twice", "pair", "saved", "ladder"), rules=("take_back", "take_back_first", "mix"))
PAUSES = Focus(("any", "twice", "pair"), rules=("pause",))
HOLDOUTS = Focus(("any", "twice", "pair"), rules=("hold_out",))
VARIANTS = Focus(("split", "raced"), rules=("take_back",))
OWN_LIMITS = Focus(("capped",))
SHADOWS = Focus(rules=("try_out", "take_back"), later=("twice", "split", "gold"))
RETURNS = Focus(("returned", "spoilt"), rules=("return_parts",))
BACKFILLS = Focus(
    ("any",), {"each-day": (1, 3)}, ("launch_past", "fill_back"), later=("gold", "share", "night", "twice")
)
DECIDED_FOR_OTHERS = Focus(("big",), {}, ("launch_past_by_tier", "fill_back"), later=("gold", "any"))
RIVALS_OF_OLD = Focus(("most", "any"), {}, ("launch_past", "fill_back"), later=("alone", "least"))
MERGED = Focus(("any", "early"), {"each-day": (1, 3), "rolling": (1, 3)}, ("merge", "take_back"), machine=AskingMachine)
MERGED_QUESTS = Focus(("twice", "ladder"), rules=("merge", "take_back", "take_back_first"), machine=AskingMachine)
MERGED_IN_FLIGHT = Focus(("any",), rules=("merge", "stall", "wake"), machine=AskingMachine)
MERGED_ATTRIBUTES = Focus(("gold",), rules=("merge", "change"), machine=AskingMachine)
MERGED_LISTS = Focus(("vips", "two"), rules=("merge", "change"), machine=AskingMachine)
PUBLIC_CODES = Focus(("spring", "cart"), rules=("redeem",), machine=AskingMachine)
BY_HAND = Focus(
    ("any", "share", "vips"),
    {"each-day": (1, 3), "own-day": (1, 3)},
    ("grant_by_hand", "travel"),
    machine=AskingMachine,
)
BY_HAND_OF_AN_ACTION = Focus(("any", "share"), {"purchases": (1, 3)}, ("grant_by_hand",), machine=AskingMachine)
ASKED = Focus(
    ("twice", "any", "spring"),
    {"each-day": (3, 9)},
    ("merge", "redeem", "grant_by_hand", "take_back", "stall", "wake"),
    machine=AskingMachine,
)
