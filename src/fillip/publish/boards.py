"""What the publisher knows of leaderboards: which there are, which are being built, and whose users wait. Pure."""

from collections.abc import Iterable, Mapping
from datetime import date
from itertools import islice

from msgspec import Struct, field

from fillip.core.leaderboard import Leaderboard
from fillip.publish.live import Visibility


class Board(Struct):
    """A leaderboard as it stands in Valkey under an edition of its own: `counts` has how many users, by window.

    One that is not `whole` is being built; `begun`: Valkey knows of the edition, once, so that it tells by that whether anything was lost. One that is `full` would have more users than a tenant may, and is not kept at all.
    """

    defined: Leaderboard
    time_zone: str
    edition: str
    begun: bool = False
    whole: bool = False
    full: bool = False
    counts: dict[date, int] = field(default_factory=dict)


class Build(Struct):
    """The walk over a tenant's users that fills its boards which are not whole; `after` is the last user that was written.

    It begins once all transactions that began before `after_tx` are over, where there is one: of those the publisher may have been told
    when it did not know the tenant yet.
    """

    after_tx: int | None = None
    after: str = ""

    def may_go_on(self, visibility: Visibility) -> bool:
        """Whether what was told before is seen by now."""
        if self.after_tx is not None and visibility.is_past(self.after_tx):
            self.after_tx = None
        return self.after_tx is None


class Line(Struct):
    """Users of one tenant that wait, each with the transaction that touched it last.

    They are taken all at once (`taken`), as of `goal`; once those are written, all that was committed until `goal` is counted, which is then `as_of`.
    """

    as_of: float
    waiting: dict[str, int] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    goal: float = 0.0

    def take(self, now: float, visibility: Visibility) -> None:
        """Begin to write those that wait, where nothing is left of those before; who is touched by what can't be seen yet waits on."""
        if self.taken or not self.waiting:
            return
        unseen = {user: tx_id for user, tx_id in self.waiting.items() if not visibility.has(tx_id)}
        self.taken = {user: tx_id for user, tx_id in self.waiting.items() if user not in unseen}
        self.waiting, self.goal = unseen, self.as_of if unseen else now

    def next_users(self, most: int) -> list[str]:
        """Some of those that are taken."""
        return list(islice(self.taken, most))

    def drop(self, users: Iterable[str]) -> None:
        """They are written."""
        for user in users:
            self.taken.pop(user, None)
        if not self.taken:
            self.as_of = max(self.as_of, self.goal)


class Lines:
    """The lines of all tenants that have boards."""

    def __init__(self, most_waiting: int) -> None:
        self._most, self._told = most_waiting, 0.0
        self.of: dict[str, Line] = {}
        self.overrun: set[str] = set()
        """Tenants of whom more waited than is kept: their boards have to be built anew."""

    def note(self, tenant_id: str, users: Mapping[bytes, int]) -> None:
        """Users that were touched, and the newest transaction of each."""
        line = self.of.get(tenant_id)
        if line is None:
            line = self.of[tenant_id] = Line(self._told)
        line.waiting.update((user.decode(), tx_id) for user, tx_id in users.items())
        while sum(len(each.waiting) + len(each.taken) for each in self.of.values()) > self._most:
            crowd = max(self.of, key=lambda each: len(self.of[each].waiting) + len(self.of[each].taken))
            self.overrun.add(crowd)
            del self.of[crowd]

    def settle(self, now: float) -> dict[str, float]:
        """All was written that was taken until `now`, but for the tenants that are named, with until when theirs was."""
        self._told = now
        for tenant_id in [each for each, line in self.of.items() if not line.waiting and not line.taken]:
            del self.of[tenant_id]
        return {tenant_id: line.as_of for tenant_id, line in self.of.items() if line.as_of < now}
