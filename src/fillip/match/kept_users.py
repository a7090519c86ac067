"""Users that a worker keeps in memory: bounded in bytes, fairly between tenants, each valid up to a number of changes."""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from sys import getsizeof
from typing import TypeAlias

from prometheus_client import Counter, Gauge

from fillip.core.ports import StoredUser

UserKey: TypeAlias = tuple[str, str]
"""(tenant, user)."""

ROOM_BYTES = 64 * 1024 * 1024
ENTRY_BYTES = 160
"""What an entry takes beside its id and its attributes, measured by `make bench ONLY=users`."""
FREED_AT_ONCE = 32
"""The part of the room that is freed when it is full: one in so many, so that not each batch sorts the tenants."""

DROPPED = Counter(
    "fillip_match_users_dropped_total",
    "Users that are not kept in memory any more, by why: changed, room, lost",
    ["why"],
)
KEPT = Gauge("fillip_match_users_kept_bytes", "Memory that the users kept take")


class KeptUsers:
    """Attributes by tenant and user. All of a tenant hold at the number of changes that it was last brought to."""

    def __init__(self, room_bytes: int = ROOM_BYTES) -> None:
        """`room_bytes` is what all of them may take."""
        self._room_bytes = room_bytes
        self._tenants: dict[str, _KeptTenant] = {}
        self._server: object = None
        self.bytes = 0

    def follow(self, server: object, heads: Mapping[str, int]) -> dict[str, int]:
        """Begin to keep tenants that are new, whose changes have come to these numbers; of those that are behind, to which
        they were brought. Another `server` has another history: what was kept is forgotten.
        """
        if server != self._server:
            self._server = server
            for tenant_id in list(self._tenants):
                self.forget(tenant_id)
        behind = {}
        for tenant_id, head in heads.items():
            tenant = self._tenants.get(tenant_id)
            if tenant is None:
                self._tenants[tenant_id] = _KeptTenant(head)
            elif tenant.brought_to != head:
                behind[tenant_id] = tenant.brought_to
        return behind

    def bring(self, tenant_id: str, head: int, changed: Iterable[str] | None) -> None:
        """Drop the users of a tenant that have changed up to this number; all of them where nobody knows who has."""
        if changed is None:
            self.forget(tenant_id)
            self._tenants[tenant_id] = _KeptTenant(head)
        elif (tenant := self._tenants.get(tenant_id)) and tenant.brought_to < head:
            tenant.brought_to = head
            dropped = {user_id for user_id in changed if user_id in tenant.users}
            for user_id in dropped:
                self.bytes -= tenant.drop(user_id)
            DROPPED.labels("changed").inc(len(dropped))

    def forget(self, tenant_id: str) -> None:
        """Drop all users of a tenant."""
        if tenant := self._tenants.pop(tenant_id, None):
            self.bytes -= tenant.bytes
            DROPPED.labels("lost").inc(len(tenant.users))

    def mark(self, tenant_ids: Iterable[str]) -> "Marks":
        """What these tenants were brought to: of what is read from now on, see `keep`."""
        return {each: (tenant, tenant.brought_to) for each in tenant_ids if (tenant := self._tenants.get(each))}

    def find(self, users: Iterable[UserKey]) -> tuple[dict[UserKey, StoredUser], list[UserKey]]:
        """Those that are kept, but for users known to have no row; and those that have to be read."""
        found, missing = {}, []
        for user in users:
            tenant_id, user_id = user
            tenant = self._tenants.get(tenant_id)
            if tenant is None or user_id not in tenant.users:
                missing.append(user)
                continue
            tenant.users.move_to_end(user_id)
            if (stored := tenant.users[user_id]) is not None:
                found[user] = stored
        return found, missing

    def keep(self, marks: "Marks", asked: Collection[UserKey], read: Mapping[UserKey, StoredUser]) -> None:
        """Keep what was read of the users `asked`, also that one has no row.

        Where a tenant was brought further since the mark, a change may have come that the read has not seen: nothing of it
        is kept.
        """
        for user in asked:
            tenant_id, user_id = user
            tenant, brought_to = marks.get(tenant_id, (None, 0))
            if tenant and tenant is self._tenants.get(tenant_id) and tenant.brought_to == brought_to:
                self.bytes += tenant.put(user_id, read.get(user))
        if self.bytes > self._room_bytes:
            self._make_room()
        KEPT.set(self.bytes)

    def _make_room(self) -> None:
        """Free some of the room. Tenants with less than their equal share lose nothing; of others the longest unused go."""
        left, dropped = self._room_bytes - self._room_bytes // FREED_AT_ONCE, 0
        by_size = sorted(self._tenants.items(), key=lambda item: item[1].bytes)
        for number, (tenant_id, tenant) in enumerate(by_size):
            share = left // (len(by_size) - number)
            while tenant.bytes > share:
                self.bytes -= tenant.drop(next(iter(tenant.users)))
                dropped += 1
            left -= tenant.bytes
            if not tenant.users:
                del self._tenants[tenant_id]
        DROPPED.labels("room").inc(dropped)


class _KeptTenant:
    """Of one tenant, the longest unused first; `brought_to` is the number of changes that they hold at."""

    def __init__(self, brought_to: int) -> None:
        self.brought_to = brought_to
        self.users: OrderedDict[str, StoredUser | None] = OrderedDict()
        self.bytes = 0

    def put(self, user_id: str, stored: StoredUser | None) -> int:
        """Keep one; by how many bytes it grows."""
        before = self.bytes
        if user_id in self.users:
            self.drop(user_id)
        self.users[user_id] = stored
        self.bytes += _measure(user_id, stored)
        return self.bytes - before

    def drop(self, user_id: str) -> int:
        """Drop one; how many bytes it took."""
        size = _measure(user_id, self.users.pop(user_id))
        self.bytes -= size
        return size


Marks: TypeAlias = Mapping[str, tuple[_KeptTenant, int]]


def _measure(user_id: str, stored: StoredUser | None) -> int:
    return ENTRY_BYTES + getsizeof(user_id) + (getsizeof(stored.attributes) if stored else 0)
