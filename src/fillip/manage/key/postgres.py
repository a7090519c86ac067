"""API keys as stored, and the ring of them that says who a bearer is."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Row, func, insert, or_, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from fillip.core.errors import Retry
from fillip.core.ports import Caller
from fillip.core.quota import Quotas
from fillip.http.errors import NotFound
from fillip.http.paging import Paging
from fillip.manage.key.format import digest_key, hash_key
from fillip.manage.object.postgres import Values
from fillip.manage.store.keyset import RowPage, read_page
from fillip.manage.store.postgres import MAX_CACHED_KEYS, reach
from fillip.manage.store.tables.tenant import api_key

_AUTHENTICATE = text(Path(__file__).with_name("authenticate_key.sql").read_text(encoding="utf-8")).columns(quotas=JSONB)
_SHOWN = [column for column in api_key.c if column.name not in ("tenant_id", "key_hash")]


async def count_live_keys(connection: AsyncConnection, tenant_id: str) -> int:
    """How many keys of a tenant are neither revoked nor expired."""
    live = or_(api_key.c.expires_at.is_(None), api_key.c.expires_at > func.now())
    mine = select(func.count()).where(api_key.c.tenant_id == tenant_id, api_key.c.revoked_at.is_(None), live)
    return (await connection.execute(mine)).scalar_one()


async def insert_key(connection: AsyncConnection, tenant_id: str, values: Values) -> Row[Any]:
    """Store a new key, `values` by column; the row without the hash. Raises NotFound where there is no such tenant."""
    made = insert(api_key).values(tenant_id=tenant_id, **values).returning(*_SHOWN)
    try:
        return (await connection.execute(made)).one()
    except IntegrityError as error:
        raise NotFound(f"there is no tenant {tenant_id}") from error


async def list_keys(connection: AsyncConnection, caller: Caller, pages: Paging) -> RowPage:
    """A page of the caller's keys without their hashes, the oldest first."""
    statement = select(*_SHOWN).where(api_key.c.tenant_id == caller.tenant_id)
    return await read_page(connection, statement, [api_key.c.key_id], pages)


async def read_scopes(connection: AsyncConnection, caller: Caller, key_id: UUID) -> Sequence[str]:
    """The scopes of one of the caller's keys; raises NotFound."""
    mine = (api_key.c.tenant_id == caller.tenant_id) & (api_key.c.key_id == key_id)
    scopes: Sequence[str] | None = (await connection.execute(select(api_key.c.scopes).where(mine))).scalar_one_or_none()
    if scopes is None:
        raise NotFound(f"there is no key {key_id}")
    return scopes


async def revoke_key(connection: AsyncConnection, caller: Caller, key_id: UUID) -> None:
    """Revoke a key as of now; one that is revoked already stays as it is."""
    mine = (api_key.c.tenant_id == caller.tenant_id) & (api_key.c.key_id == key_id)
    revoked_at = func.coalesce(api_key.c.revoked_at, func.now())
    await connection.execute(update(api_key).where(mine).values(revoked_at=revoked_at))


class PostgresKeyRing:
    """core.ports.KeyRing on the table api_key, by an engine of role fillip_api or fillip_analyse.

    A key found live is believed for `cache_for_s`, then looked up again, so a revoked one dies within that time. While
    the database is away, known keys go on and unknown ones raise Retry.
    """

    def __init__(self, engine: AsyncEngine, cache_for_s: float = 3.0) -> None:
        self._engine = engine
        self._cache_for_s = cache_for_s
        self._known: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Caller | None]] = {}

    async def authenticate(self, key: str) -> Caller | None:
        """The caller of a live key, None for any other. Raises Retry."""
        known = self._known.get(digest_key(key))
        if known and time.monotonic() < known[1]:
            return known[0]
        hashed = hash_key(key)
        if hashed is None:
            return None
        if hashed not in self._asking:
            task = asyncio.create_task(self._refresh(hashed))
            self._asking[hashed] = task
            task.add_done_callback(lambda _: self._asking.pop(hashed, None))
        return await asyncio.shield(self._asking[hashed])

    async def _refresh(self, hashed: bytes) -> Caller | None:
        try:
            caller = await reach(self._look_up(hashed))
        except Retry:
            if hashed not in self._known:
                raise
            caller = self._known[hashed][0]
        if caller is None:
            self._known.pop(hashed, None)
        else:
            self._known[hashed] = (caller, time.monotonic() + self._cache_for_s)
            self._known.move_to_end(hashed)
            if len(self._known) > MAX_CACHED_KEYS:
                self._known.popitem(last=False)
        return caller

    async def _look_up(self, hashed: bytes) -> Caller | None:
        async with self._engine.connect() as connection:
            row = (await connection.execute(_AUTHENTICATE, {"hash": hashed})).one_or_none()
        if row is None:
            return None
        return Caller(row.key_id, row.tenant_id, frozenset(row.scopes), msgspec.convert(row.quotas or {}, Quotas))
