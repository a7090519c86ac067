"""What the HTTP door refused, in Valkey: by the event's key, so that it can be told why one never came; bounded for each tenant."""

import time
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from msgspec import json
from redis.asyncio import Redis
from redis.exceptions import RedisError

from fillip.core.errors import Retry
from fillip.core.ports import DoorRefusal, RefusedEvent
from fillip.core.projection import name_refused, name_refused_order

KEPT_FOR_S = 24 * 3600
MOST_KEPT = 5_000
"""Of a tenant."""
SCRIPT_EVENTS = 250
"""A call, so that nobody else waits for longer than a millisecond or two."""
_DIGEST_BYTES = 8
_OF_NOBODY = b"-" * 2 * _DIGEST_BYTES


class ValkeyRefusedEvents:
    """RefusedEvents. A value is whose the event is, as 16 hexadecimal digits, and the refusal as JSON: no id stands in it."""

    def __init__(self, client: Redis) -> None:
        """`client` has a short time-out: who asks waits no longer."""
        self._client = client
        self._keep, self._forget = (
            client.register_script(Path(__file__).with_name(name).read_text(encoding="utf-8"))
            for name in ("keep_refused.lua", "forget_refused.lua")
        )

    async def keep(self, tenant_id: str, refused: Sequence[RefusedEvent]) -> None:
        """See RefusedEvents."""
        now_ms = int(time.time() * 1000)
        for first in range(0, len(refused), SCRIPT_EVENTS):
            told: list[bytes] = []
            for each in refused[first : first + SCRIPT_EVENTS]:
                told += [each.event_key.bytes, _digest_user(tenant_id, each.user_id) + json.encode(each.refusal)]
            with _reaching():
                await self._keep(keys=_name_keys(tenant_id), args=[now_ms, KEPT_FOR_S, MOST_KEPT, *told])

    async def find(self, tenant_id: str, event_key: UUID) -> DoorRefusal | None:
        """See RefusedEvents."""
        with _reaching():
            value = await cast("Awaitable[Any]", self._client.hget(name_refused(tenant_id), event_key.bytes))
        return json.decode(value[len(_OF_NOBODY) :], type=DoorRefusal) if value else None

    async def forget(self, tenant_id: str, user_id: str) -> None:
        """See RefusedEvents."""
        with _reaching():
            await self._forget(keys=_name_keys(tenant_id), args=[_digest_user(tenant_id, user_id)])


def _name_keys(tenant_id: str) -> list[str]:
    return [name_refused(tenant_id), name_refused_order(tenant_id)]


def _digest_user(tenant_id: str, user_id: str | None) -> bytes:
    if user_id is None:
        return _OF_NOBODY
    return blake2b(f"{tenant_id}:{user_id}".encode(), digest_size=_DIGEST_BYTES).hexdigest().encode()


@contextmanager
def _reaching() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise Retry(f"Valkey is away, where it stands what the door refused: try again soon ({error})") from error
