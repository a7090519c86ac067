"""The model's levels against the ledger's: each change as it is announced, where all stand at the end, and by which level each event was decided."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import psycopg

from tests.oracle.ledger import SQL
from tests.oracle.levels import Change, Levels


def find_unlike_levels(connection: psycopg.Connection[Any], tenant_id: str, levels: Levels, at: datetime) -> list[str]:
    """All that the ledger says otherwise of levels than the model; [] when they agree. All users follow their ladders by `at`."""
    return [
        *_compare_read(connection, tenant_id, levels),
        *_compare_changes(connection, tenant_id, levels),
        *_compare_stands(connection, tenant_id, levels),
        *_compare_weighed(connection, tenant_id, levels, at),
    ]


def _compare_read(connection: psycopg.Connection[Any], tenant_id: str, levels: Levels) -> Iterator[str]:
    for campaign, instance, event, known in connection.execute(SQL["decided_by"], {"tenant": tenant_id}):
        wanted = levels.read_by.get((campaign, instance, event), {})
        found = {name: known.get(name) for name in wanted}
        if found != wanted:
            yield f"{event} should be decided for {campaign} by {dict(wanted)}, not {found}"


def _compare_changes(connection: psycopg.Connection[Any], tenant_id: str, levels: Levels) -> Iterator[str]:
    found = {Change(*row) for row in connection.execute(SQL["level_changes"], {"tenant": tenant_id})}
    for change in sorted(found ^ set(levels.changes), key=lambda each: (each.user, each.currency, each.number)):
        yield f"{'not told' if change in levels.changes else 'told'}: {change}"


def _compare_stands(connection: psycopg.Connection[Any], tenant_id: str, levels: Levels) -> Iterator[str]:
    wanted = {
        (currency, user, stand.level, stand.threshold, stand.since, stand.falls_at)
        for currency, stands in levels.stands.items()
        for user, stand in stands.items()
    }
    found = set(connection.execute(SQL["levels"], {"tenant": tenant_id}))
    if found != wanted:
        yield f"stored levels are {found - wanted}, and should be {wanted - found}"


def _compare_weighed(
    connection: psycopg.Connection[Any], tenant_id: str, levels: Levels, at: datetime
) -> Iterator[str]:
    """What the API tells of a user."""
    query = "SELECT user_id, earned, place, falls_at FROM weigh_levels(%s, %s, %s, %s)"
    for currency in levels.ladders:
        users = sorted({each.user for each in levels.counted[currency].values()})
        wanted = {}
        for user in users:
            weighed = levels.weigh(currency, user, at)
            place = 1 + levels.ladders[currency].definition["levels"].index(weighed.level)
            wanted[user] = weighed.earned, place, weighed.falls_at
        found = {user: rest for user, *rest in connection.execute(query, [tenant_id, currency, users, at])}
        for user in users:
            if tuple(found[user]) != wanted[user]:
                yield f"{user} has (earned, place, falls_at) {found[user]} on the ladder of {currency}, not {wanted[user]}"


def tell_levels(levels: Levels) -> Counter[str]:
    """What came up of levels."""
    bites = Counter(f"levels {change.direction}" for change in levels.changes)
    bites.update({f"levels by {reason}": times for reason, times in levels.reasons.items()})
    lowest = {"bronze", "base", "new"}
    bites["decisions by a higher level"] += sum(
        any(level not in lowest for level in known.values()) for known in levels.read_by.values()
    )
    return bites
