"""What is reversed of events, as the ledger tells it, and the reversals that the tallies don't know of yet."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from uuid import UUID

from msgspec import Struct, json

from fillip.cohort.connection_postgres import SQL, Connection
from fillip.core.ledger.reversal import ReversalRequest, ReversedSoFar, weigh_reversal
from fillip.core.tally import tell_key
from fillip.rows.columns import list_columns, to_columns

FOUND_AT_ONCE = 100
"""Reversals of a partition that are taken up at once."""


class Due(Struct, frozen=True):
    """A reversal that the worker is past: its place, and the event that it takes back."""

    topic: str
    partition: int
    offset: int
    tenant_id: str
    event_key: UUID
    received_at: datetime


class ReversedEvents:
    """By tenant and user what share of which events is reversed, by the keys of terms."""

    def __init__(self) -> None:
        self._shares: dict[tuple[str, str], dict[int, Fraction]] = {}

    @property
    def users(self) -> set[str]:
        """Whose events they are."""
        return {user_id for _, user_id in self._shares}

    def note(self, tenant_id: str, user_id: str, event_key: UUID, share: Fraction) -> None:
        """So much of an event is reversed, if it is this user's."""
        self._shares.setdefault((tenant_id, user_id), {})[tell_key(event_key)] = share

    def of_user(self, tenant_id: str, user_id: str) -> Mapping[int, Fraction]:
        """Those of one user."""
        return self._shares.get((tenant_id, user_id), {})


async def read_shares(connection: Connection, events: Collection[tuple[str, UUID]]) -> ReversedEvents:
    """What is reversed of these (tenant, event) by now."""
    rows = await connection.fetch(SQL["read_reversals"], *to_columns(sorted(events), 2))
    asked: dict[tuple[str, str, UUID], list[str]] = {}
    for row in rows:
        asked.setdefault((row["tenant_id"], row["user_id"], row["event_key"]), []).append(row["request"])
    found = ReversedEvents()
    for key, requests in asked.items():
        found.note(*key, share=add_up(json.decode(each, type=ReversalRequest) for each in requests))
    return found


def add_up(requests: Iterable[ReversalRequest]) -> Fraction:
    """What share of an event these take together, in their order, each as the ledger would weigh it."""
    so_far = ReversedSoFar()
    for request in requests:
        after = weigh_reversal(request, so_far)
        so_far = after if isinstance(after, ReversedSoFar) else so_far
    return so_far.share


async def find_due(connection: Connection) -> list[Due]:
    """Some of the reversals that the tallies don't know of yet and the worker is past, by tenant."""
    rows = await connection.fetch(SQL["find_due"], FOUND_AT_ONCE)
    return [Due(*row) for row in rows]


async def forget_due(connection: Connection, due: Sequence[Due]) -> None:
    """The tallies know of these."""
    await connection.execute(SQL["forget_due"], *list_columns(Due, due)[:3])
