"""The stage before match: each event is of who its user is by now."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from msgspec.structs import replace

from fillip.core.event import Event, Rejection
from fillip.match.kept_users import UserKey


class MergedUsers(Protocol):
    """Users that were merged into others."""

    async def find(self, users: Collection[UserKey]) -> Mapping[UserKey, str]:
        """Of these users those that were merged, with who each is by now. Raises Retry when that can't be read."""


class Resolve:
    """Stage: events in, the same out, under the users that theirs are by now.

    Events of tenants that have merged nobody, as their books say, cost nothing. Who is merged between this and settle, settle finds: the
    batch is taken anew then.
    """

    def __init__(self, merged: MergedUsers) -> None:
        """`merged` is asked once a batch, of users of tenants that have merged any."""
        self._merged = merged

    async def __call__(self, items: Sequence[Event | Rejection]) -> list[Event | Rejection]:
        """Raises Retry when merged users can't be read."""
        events = [item for item in items if isinstance(item, Event)]
        users = {(event.tenant_id, event.user_id) for event in events if event.book.has_merged}
        found = await self._merged.find(users) if users else {}
        if not found:
            return list(items)
        return [_resolve(item, found) if isinstance(item, Event) else item for item in items]


def _resolve(event: Event, found: Mapping[UserKey, str]) -> Event:
    into = found.get((event.tenant_id, event.user_id))
    return event if into is None else replace(event, user_id=into, sent_as=event.user_id)
