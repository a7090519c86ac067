"""The ring of API keys: who a bearer is."""

import asyncio
import time
from collections import OrderedDict
from pathlib import Path

import msgspec
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncEngine

from fillip.core.errors import Retry
from fillip.core.ports import Caller
from fillip.core.quota import Quotas
from fillip.manage.key.format import hash_key
from fillip.manage.store.engine import MAX_CACHED_KEYS, reach

_AUTHENTICATE = text(Path(__file__).with_name("authenticate_key.sql").read_text(encoding="utf-8")).columns(quotas=JSONB)


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
        hashed = hash_key(key)
        if hashed is None:
            return None
        known = self._known.get(hashed)
        if known and time.monotonic() < known[1]:
            return known[0]
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
            self._remember(hashed, caller)
        return caller

    def _remember(self, hashed: bytes, caller: Caller) -> None:
        self._known[hashed] = (caller, time.monotonic() + self._cache_for_s)
        self._known.move_to_end(hashed)
        if len(self._known) > MAX_CACHED_KEYS:
            self._known.popitem(last=False)

    async def _look_up(self, hashed: bytes) -> Caller | None:
        async with self._engine.connect() as connection:
            row = (await connection.execute(_AUTHENTICATE, {"hash": hashed})).one_or_none()
        if row is None:
            return None
        return Caller(row.key_id, row.tenant_id, frozenset(row.scopes), msgspec.convert(row.quotas or {}, Quotas))
