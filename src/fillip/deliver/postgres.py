"""The inboxes in PostgreSQL, as role fillip_gateway: one tenant a transaction."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Self

import asyncpg
import structlog
from msgspec import Raw, json
from prometheus_client import Counter

from fillip.core.errors import Retry
from fillip.core.identity import name_instance
from fillip.core.quota import Quotas
from fillip.deliver.inbox import (
    Admission,
    Change,
    InboxEntry,
    Incentive,
    InstanceId,
    LevelChange,
    Progress,
    State,
    StepProgress,
    User,
    write_instant,
)
from fillip.rows.transient_postgres import UNREACHED

ANSWER_WITHIN_S = 5.0
MAX_CONNECTIONS, IDLE_S = 8, 10.0
"""All are needed when many come at once, as after a restart; one that has idled so long goes: each takes 5 MB of the server."""
TRANSIENT_ERRORS = (*UNREACHED, asyncpg.PostgresError)  # whatever it refuses: the session lives on, and asks again
UNSHOWN = Counter(
    "fillip_deliver_unshown_total", "Rows of the ledger that could not be shown, by what they are", ["what"]
)
SQL = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.sql")}
log = structlog.get_logger()
_STEPS = json.Decoder(tuple[StepProgress, ...])
_quotas = json.Decoder(Quotas)


class PostgresInbox:
    """Inbox over a pool that connects when first needed, so that it may be made while PostgreSQL is away."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @classmethod
    @asynccontextmanager
    async def open(cls, dsn: str) -> AsyncIterator[Self]:
        """`dsn` is that of role fillip_gateway."""
        pool = asyncpg.create_pool(
            dsn,
            min_size=0,
            max_size=MAX_CONNECTIONS,
            max_inactive_connection_lifetime=IDLE_S,
            command_timeout=ANSWER_WITHIN_S,
        )
        async with pool:
            yield cls(pool)

    async def check(self) -> None:
        """Go to PostgreSQL and back. Raises Retry."""
        async with self._transact():
            pass

    async def admit(self, ticket: str) -> Admission | None:
        """See Inbox. Redeeming and reading are one transaction: where it fails, the ticket can still be used."""
        async with self._transact() as connection:
            found = await connection.fetchrow(SQL["redeem"], sha256(ticket.encode()).digest())
            if found is None:
                return None
            user = User(found["tenant_id"], found["user_id"])
            await connection.execute(SQL["scope"], user.tenant_id)
            [row] = await connection.fetch(SQL["standing"], user.tenant_id, user.user_id)
        return Admission(user, row["last_seq"], row["acked_seq"], _quotas.decode(found["quotas"] or "{}").sockets)

    async def find_merged(self, last_s: float) -> Sequence[User]:
        """See Inbox."""
        async with self._transact() as connection:
            return [User(*row) for row in await connection.fetch(SQL["merged"], last_s)]

    async def read(self, user: User, after_seq: int, count: int) -> Sequence[InboxEntry]:
        """See Inbox."""
        async with self._transact() as connection:
            await connection.execute(SQL["scope"], user.tenant_id)
            rows = await connection.fetch(SQL["page"], user.tenant_id, user.user_id, after_seq, count)
        return [_read_entry(row) for row in rows]

    async def ack(self, user: User, after_seq: int, through_seq: int) -> None:
        """See Inbox."""
        async with self._transact() as connection:
            await connection.execute(SQL["scope"], user.tenant_id)
            await connection.execute(SQL["ack"], user.tenant_id, user.user_id, after_seq, through_seq)

    async def read_progress(self, user: User, named: Sequence[InstanceId], count: int) -> Sequence[State]:
        """See Inbox."""
        split = [(campaign, *instance.rpartition("#")) for campaign, instance in named if campaign]
        places = [c for c, *_ in split], [key for _, key, *_ in split], [int(number) for *_, number in split]
        async with self._transact() as connection:
            await connection.execute(SQL["scope"], user.tenant_id)
            rows = await connection.fetch(SQL["progress"], user.tenant_id, user.user_id, *places, count)
            levels = await connection.fetch(SQL["levels"], user.tenant_id, user.user_id)
        found = list[State]()
        for row in rows:
            try:
                found.append(_read_progress(row))
            except Exception as error:  # noqa: BLE001 - foreseen or not: one row does not hide the others
                _tell_unshown("progress", error, campaign=row["campaign_id"], instance=row["instance_key"])
        for row in levels:
            try:
                found.append(_read_level(row))
            except Exception as error:  # noqa: BLE001 - foreseen or not: one row does not hide the others
                _tell_unshown("level", error, currency=row["currency"], number=row["number"])
        return found

    @asynccontextmanager
    async def _transact(self) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy]:
        try:
            async with self._pool.acquire(timeout=ANSWER_WITHIN_S) as connection, connection.transaction():
                yield connection
        except TRANSIENT_ERRORS as error:
            raise Retry(f"the inbox can't be reached, PostgreSQL is away: {error}") from error


def _read_entry(row: asyncpg.Record) -> InboxEntry:
    """An entry that can't be shown keeps its place."""
    try:
        return InboxEntry(row["seq"], _read_incentive(row), None if row["entry"] == "granted" else _read_change(row))
    except Exception as error:  # noqa: BLE001 - foreseen or not: one row does not hide the others
        _tell_unshown("entry", error, seq=row["seq"], incentive=str(row["incentive_id"]))
        return InboxEntry(row["seq"], None)


def _read_incentive(row: asyncpg.Record) -> Incentive:
    return Incentive(
        incentive_id=str(row["incentive_id"]),
        campaign_id=row["campaign_id"],
        kind=row["kind"],
        value=row["value"],
        currency=row["currency"],
        payload=Raw(row["payload"] or "null"),
        granted_at=_read_instant(row["granted_at"]),
        event_id=row["event_id"],
        event_source=row["event_source"],
        coupon_code=row["coupon_code"],
        expires_at=row["expires_at"] and _read_instant(row["expires_at"]),
    )


def _read_change(row: asyncpg.Record) -> Change:
    changed_at = _read_instant(row["changed_at"])
    return Change(row["entry"], row["changed_value"], row["reversed_value"], row["reason"], changed_at)


def _read_progress(row: asyncpg.Record) -> Progress:
    return Progress(
        campaign_id=row["campaign_id"],
        instance=name_instance(row["instance_key"], row["occurrence"]),
        state=row["state"],
        steps=_STEPS.decode(row["steps"]),
        started_at=_read_instant(row["started_at"]),
        ends_at=row["ends_at"] and _read_instant(row["ends_at"]),
        revision=row["revision"],
    )


def _read_level(row: asyncpg.Record) -> LevelChange:
    falls_at, changed_at = row["falls_at"], row["changed_at"]
    return LevelChange(
        **dict(row) | {"falls_at": falls_at and _read_instant(falls_at), "changed_at": _read_instant(changed_at)}
    )


def _read_instant(text: str) -> str:
    return write_instant(datetime.fromisoformat(text))


def _tell_unshown(what: str, error: Exception, **place: object) -> None:
    UNSHOWN.labels(what).inc()
    log.error("a row can't be shown to its user", what=what, error=f"{type(error).__name__}: {error}", **place)
