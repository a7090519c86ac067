"""Planted faults of levels, most of them in functions of the database: see tests.oracle.faults."""

from collections.abc import Collection, Mapping
from typing import Any

from fillip.match.users_postgres import PostgresUsers
from tests.oracle.climbing import ClimbingMachine
from tests.oracle.focus import Focus
from tests.oracle.planting import Fault, Plant, plant_attribute

LEVELS = Focus(
    ("earns", "silver", "by-level", "golden"),
    {},
    ("climb", "rank", "pass_time", "pretend", "merge", "take_back", "grant_by_hand", "stall", "wake", "try_out", "launch_past"),
    later=("as-silver", "any"),
    machine=ClimbingMachine,
)  # fmt: skip
"""All that levels come from, and all that reads them."""
CLIMBED = Focus(("earns", "silver"), rules=("climb", "pass_time"), machine=ClimbingMachine)
RANKED = Focus(("earns", "silver"), rules=("climb", "rank"), machine=ClimbingMachine)
LIVE = Focus(("earns", "silver"), rules=("climb", "pass_time"), clock="live", machine=ClimbingMachine)
MERGED = Focus(("earns", "silver"), rules=("climb", "merge"), machine=ClimbingMachine)
READ = Focus(("silver", "earns", "by-level"), rules=("climb", "pretend"), machine=ClimbingMachine)

_read = PostgresUsers.read


def _plant_function(name: str, old: str, new: str) -> Plant:
    """Another text in a function of the database, in place of one that it has."""
    return lambda patch: patch.setattr(ClimbingMachine, "wrong", (name, old, new))


async def _read_first(self: PostgresUsers, users: Collection[Any]) -> Mapping[Any, Any]:
    """Every user of a batch has what the first of them has."""
    found = await _read(self, users)
    first = next(iter(found.values()), None)
    return dict.fromkeys(found, first) if first else found


FAULTS_LEVELS = [
    Fault(
        "a reversal that leaves a level",
        _plant_function("unearn_reversed", "greatest(0, d.earned - g.amount)", "d.earned"),
        CLIMBED,
    ),
    Fault(
        "a level that is reached by more than its number",
        _plant_function("weigh_levels", "h <= s.earned", "h <= greatest(s.earned - 1, 0)"),
        CLIMBED,
    ),
    Fault(
        "a window of levels a day too long",
        _plant_function("weigh_levels", "THEN today.day - (l.rolling_s / 86400)::integer", "THEN today.day - (l.rolling_s / 86400)::integer - 1"),
        CLIMBED,
    ),
    Fault(
        "a level that falls a day late",
        _plant_function("weigh_levels", "(d.day + w.days + 1)", "(d.day + w.days + 2)"),
        LIVE,
    ),
    Fault(
        "a fall that is not told",
        _plant_function(
            "move_levels", "WHERE w.level <> w.level_before ORDER", "WHERE w.level <> w.level_before AND w.threshold > w.threshold_before ORDER"
        ),
        CLIMBED,
    ),
    Fault(
        "a level that is told with every grant",
        _plant_function("move_levels", "SET level = excluded.level", "SET level = u.level"),
        CLIMBED,
    ),
    Fault(
        "points of every currency count for a level",
        _plant_function("earn_granted", "AND l.currency = coalesce(i.currency, 'POINTS')", ""),
        CLIMBED,
    ),
    Fault(
        "a merge that forgets what was earned",
        _plant_function("merge_levels", "SET earned = d.earned + excluded.earned", "SET earned = d.earned"),
        MERGED,
    ),
    Fault(
        "a level that stays with who was merged",
        _plant_function("merge_levels", "u.user_id = from_user;", "false;"),
        MERGED,
    ),
    Fault(
        "a new ladder that counts what was taken back",
        _plant_function("move_ladder", "greatest(0, i.value - coalesce(r.amount, 0))", "i.value"),
        RANKED,
    ),
    Fault(
        "points that a new ladder counts twice",
        _plant_function("earn_granted", "AND (l.filled_to IS NULL OR i.user_id <= l.filled_to)", ""),
        RANKED,
    ),
    Fault(
        "a changed ladder that nobody follows",
        _plant_function("move_ladder", "PERFORM move_levels(of_tenant, of_currency, seen, clock_timestamp());", ""),
        RANKED,
    ),
    Fault(
        "workers that hear of no changed level",
        _plant_function("number_user_changes", "SET last_number = h.last_number + many", "SET last_number = h.last_number"),
        READ,
    ),
    Fault(
        "a level that what is written of a user covers",
        _plant_function(
            "read_users",
            "coalesce(u.attributes, '{}') || coalesce(shown.levels, '{}')",
            "coalesce(shown.levels, '{}') || coalesce(u.attributes, '{}')",
        ),
        READ,
    ),
    Fault("the level of a batch's first user", plant_attribute(PostgresUsers, "read", _read_first), READ),
]  # fmt: skip
