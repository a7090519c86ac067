"""Planted faults of what is asked of Fillip itself, public codes and grants by hand, and of merges of users."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from fillip.core import event as core_event
from fillip.core import redemption
from fillip.core.book import book as core_book
from fillip.core.by_hand import GRANT, GrantOrder
from fillip.core.event import Event, fingerprint
from fillip.core.match import limit_charges
from fillip.core.match import price as pricing
from fillip.core.match.limit_charges import list_charges
from fillip.core.redemption import REDEMPTION
from fillip.manage.merge import postgres as merges
from fillip.manage.merge import wallets_postgres
from fillip.match import stage as match_stage
from fillip.match.resolve import Resolve
from fillip.rows.wallet import postgres as rows_postgres
from fillip.settle import postgres, stage
from fillip.settle.reversal import postgres as reversal_postgres
from tests.oracle.focus import (
    BY_HAND,
    BY_HAND_OF_AN_ACTION,
    MERGED,
    MERGED_ATTRIBUTES,
    MERGED_IN_FLIGHT,
    MERGED_LISTS,
    MERGED_QUESTS,
    PUBLIC_CODES,
)
from tests.oracle.merging import Merging
from tests.oracle.planting import Fault, Plant, plant_attribute, plant_sql
from tests.oracle.shop import Shop


def _plant_function(name: str, old: str, new: str) -> Plant:
    """Another text in a function of the database, in place of one that it has, while users are merged."""
    merge, read = Shop.merge, f"SELECT pg_get_functiondef('{name}'::regproc)"

    async def merge_wrongly(self: Shop, *who: str) -> Merging:
        async with self.owner.begin() as connection:
            right: str = (await connection.exec_driver_sql(read)).scalar_one()
            assert old in right, f"{name} has changed: plant the fault anew"
            await connection.exec_driver_sql(right.replace(old, new))
        try:
            return await merge(self, *who)
        finally:
            async with self.owner.begin() as connection:
                await connection.exec_driver_sql(right)

    return lambda patch: patch.setattr(Shop, "merge", merge_wrongly)


def _name_alike(patch: pytest.MonkeyPatch) -> None:
    for place in (core_event, core_book):
        patch.setattr(place, "name_code", lambda code: REDEMPTION)


def _print_by_name_of_now(event: Event) -> bytes:
    return _fingerprint(replace(event, sent_as=None))


def _print_with_its_instant(event: Event) -> bytes:
    return _fingerprint(event) + str(event.occurred_at).encode()


def _charge_nothing_by_hand(event: Event, *rest: Any) -> Sequence[Any]:
    return () if event.action == GRANT else _list_charges(event, *rest)


def _charge_no_user_for_codes(event: Event, *rest: Any) -> Sequence[Any]:
    charges = _list_charges(event, *rest)
    return tuple(each for each in charges if event.action != REDEMPTION or not each.counter.user_id)


async def _keep_users(self: Resolve, items: Sequence[Any]) -> list[Any]:
    """Events are of whom they were sent of."""
    return list(items)


async def _find_nobody(*said: Any) -> bool:
    """Nobody was merged while the batch was on its way."""
    return False


async def _leave_attributes(*said: Any) -> None:
    """Who was merged keeps its attributes."""


async def _leave_lists(*said: Any) -> int:
    """Who was merged stays in the lists of cohorts, and the other is in none by that."""
    return 0


_fingerprint, _list_charges = fingerprint, list_charges
_MERGED = "coalesce(u.merged_into, d.user_id)"
FAULTS_ASKED = [
    Fault(
        "uses of limits that a merge does not add up",
        _plant_function("merge_counters", "used = c.used + excluded.used", "used = greatest(c.used, excluded.used)"),
        MERGED,
    ),
    Fault(
        "rolling windows that a merge empties",
        _plant_function("merge_counters", "SET used = p.used + excluded.used", "SET used = p.used"),
        MERGED,
    ),
    Fault(
        "a quest that a merge lets complete twice",
        _plant_function("merge_quests", "OR once AND 'completed' = ANY (b.states)", ""),
        MERGED_QUESTS,
    ),
    Fault(
        "two goes at one quest after a merge",
        _plant_function(
            "merge_quests",
            "('open' = ANY (b.states) OR b.state = 'lapsed' AND 'lapsed' = ANY (b.states) OR once",
            "(once",
        ),
        MERGED_QUESTS,
    ),
    Fault(
        "a quest's reward that is not found after a merge",
        _plant_function("merge_quests", "AND last + 1 <> b.occurrence", "AND false"),
        MERGED_QUESTS,
    ),
    Fault(
        "badges that stay with who was merged",
        _plant_function("merge_user", "b.user_id = from_user AND NOT EXISTS", "false AND NOT EXISTS"),
        MERGED,
    ),
    Fault(
        "who was merged before stays",
        _plant_function("merge_user", "m.merged_into = from_user", "false"),
        MERGED,
    ),
    Fault(
        "a merge that loses lots",
        plant_attribute(wallets_postgres, "_PAGE", wallets_postgres._PAGE.replace("l.user_id = $2", "false")),
        MERGED,
    ),
    Fault(
        "lots that stay with who was merged",
        plant_sql("write_wallets", "user_id = excluded.user_id, seq", "seq", rows_postgres.SQL),
        MERGED,
    ),
    Fault(
        "attributes that stay with who was merged",
        plant_attribute(merges, "_merge_attributes", _leave_attributes),
        MERGED_ATTRIBUTES,
    ),
    Fault("lists that stay with who was merged", plant_attribute(merges, "merge_lists", _leave_lists), MERGED_LISTS),
    Fault("events of who was merged before", plant_attribute(Resolve, "__call__", _keep_users), MERGED),
    Fault(
        "settled under a user who was merged meanwhile",
        plant_attribute(postgres.PostgresTransaction, "has_merged", _find_nobody),
        MERGED_IN_FLIGHT,
    ),
    Fault(
        "an event that is another one after a merge",
        plant_attribute(stage, "fingerprint", _print_by_name_of_now),
        MERGED,
    ),
    Fault(
        "reversals that find nothing of before a merge",
        plant_sql("lock_events", "coalesce(u.merged_into, m.user_id)", "m.user_id"),
        MERGED,
    ),
    Fault(
        "taken of who was merged before",
        plant_sql("find_grants", _MERGED, "d.user_id", reversal_postgres.SQL),
        MERGED,
    ),
    Fault(
        "told to who was merged before",
        plant_sql("tell_reversed", "coalesce(u.merged_into, i.user_id)", "i.user_id", reversal_postgres.SQL),
        MERGED,
    ),
    Fault(
        "a code compared with its case",
        plant_attribute(redemption, "fold_code", lambda code: code.strip()),
        PUBLIC_CODES,
    ),
    Fault("a code that is every campaign's", _name_alike, PUBLIC_CODES),
    Fault(
        "a redemption that is another one when it is asked for later",
        plant_attribute(stage, "fingerprint", _print_with_its_instant),
        PUBLIC_CODES,
    ),
    Fault(
        "limits of a user that public codes pass by",
        plant_attribute(pricing, "list_charges", _charge_no_user_for_codes),
        PUBLIC_CODES,
    ),
    Fault(
        "a grant by hand that limits do not count",
        plant_attribute(pricing, "list_charges", _charge_nothing_by_hand),
        BY_HAND,
    ),
    Fault(
        "a grant by hand that is of no campaign's action",
        plant_attribute(limit_charges, "GRANT", ""),
        BY_HAND_OF_AN_ACTION,
    ),
    Fault(
        "values by hand that are not given",
        plant_attribute(GrantOrder, "find_value", lambda self, index: 1),
        BY_HAND,
    ),
    Fault(
        "a grant by hand by the days of the tenant",
        plant_attribute(match_stage, "_give_zone", lambda event, known: event),
        BY_HAND,
    ),
]
