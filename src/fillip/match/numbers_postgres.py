"""The numbers of users, asked of PostgreSQL once and kept: one changes only when its user is erased."""

from collections.abc import Collection, Mapping
from time import monotonic

import asyncpg

from fillip.core.book.book import Book
from fillip.core.errors import Busy, Retry
from fillip.match.sql import SQL
from fillip.match.transient_postgres import TOO_SLOW, TRANSIENT_ERRORS

MAX_KEPT = 300_000
"""Users of all tenants that are kept, some 200 bytes each. Beyond, those of the tenant with most are forgotten."""

LOOK_EVERY_S = 1.0
"""At most so often a worker asks whether users were erased; so late may it learn of it."""


class _Known:
    """What is known of one tenant's users: `numbers`, and those who had none when `numbered` users had one."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.absent: set[str] = set()
        self.numbered = 0
        self.erased = 0

    def __len__(self) -> int:
        return len(self.numbers) + len(self.absent)


class PostgresNumbers:
    """UserNumbers, as role fillip_worker."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._known: dict[str, _Known] = {}
        self._kept = 0
        self._look_at = 0.0

    async def find(
        self, users: Mapping[str, Collection[str]], books: Mapping[str, Book]
    ) -> Mapping[str, Mapping[str, int]]:
        """See UserNumbers. Who has no number is asked for again once the tenant has numbered more users."""
        if self._known and monotonic() >= self._look_at:
            await self._forget_erased()
        unknown: list[tuple[str, str]] = []
        for tenant_id, ids in users.items():
            known = self._known.setdefault(tenant_id, _Known())
            numbered = books[tenant_id].numbered
            if known.numbered < numbered:
                self._kept -= len(known.absent)
                known.absent.clear()
                known.numbered = numbered
            unknown += [(tenant_id, each) for each in ids if each not in known.numbers and each not in known.absent]
        found = await self._read(unknown) if unknown else {}
        answer: dict[str, dict[str, int]] = {}
        for tenant_id, ids in users.items():
            numbers = self._known[tenant_id].numbers
            kept = {each: numbers[each] for each in ids if each in numbers}
            answer[tenant_id] = kept | found.get(tenant_id, {})
        if unknown:
            self._keep(unknown, found)
        return answer

    async def _forget_erased(self) -> None:
        """Forget the numbers of tenants of whom a user was erased."""
        try:
            rows = await self._pool.fetch(SQL["user_heads"], list(self._known))
        except TOO_SLOW as error:
            raise Busy(f"the numbers of users can't be checked: {error}") from error
        except TRANSIENT_ERRORS as error:
            raise Retry(f"the numbers of users can't be checked, PostgreSQL is away: {error}") from error
        self._look_at = monotonic() + LOOK_EVERY_S
        for row in rows:
            known = self._known[row["tenant_id"]]
            if known.erased != row["erased"]:
                self._kept -= len(known)
                self._known[row["tenant_id"]] = known = _Known()
                known.erased = row["erased"]

    async def _read(self, asked: list[tuple[str, str]]) -> dict[str, dict[str, int]]:
        tenants, ids = zip(*asked, strict=True)
        try:
            async with self._pool.acquire() as connection, connection.transaction(readonly=True):
                await connection.execute("SELECT set_config('app.tenants', $1, true)", ",".join(sorted(set(tenants))))
                rows = await connection.fetch(SQL["numbers"], list(tenants), list(ids))
        except TOO_SLOW as error:
            raise Busy(f"the numbers of users can't be read: {error}") from error
        except TRANSIENT_ERRORS as error:
            raise Retry(f"the numbers of users can't be read, PostgreSQL is away: {error}") from error
        found: dict[str, dict[str, int]] = {}
        for tenant_id, user_id, number in rows:
            found.setdefault(tenant_id, {})[user_id] = number
        return found

    def _keep(self, asked: list[tuple[str, str]], found: Mapping[str, Mapping[str, int]]) -> None:
        for tenant_id, user_id in asked:
            known, number = self._known.setdefault(tenant_id, _Known()), found.get(tenant_id, {}).get(user_id)
            before = len(known)
            if number is None:
                known.absent.add(user_id)
            else:
                known.numbers[user_id] = number
            self._kept += len(known) - before
        while self._kept > MAX_KEPT:
            self._kept -= len(self._known.pop(max(self._known, key=lambda tenant: len(self._known[tenant]))))
