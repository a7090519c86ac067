"""Whether a process lives, and whether it can do its work: what it needs is asked again and again beside the work."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import asyncpg
import structlog

LOOK_EVERY_S, BEGIN_EVERY_S = 2.0, 0.25
"""The latter until all was well once: whoever starts it waits for that."""
ANSWER_WITHIN_S = 5.0
DEAD_AFTER_S = 30.0
"""An event loop that has not turned for so long does not come back: building a large book holds it for a second or two."""

log = structlog.get_logger()

Check = Callable[[], Awaitable[object]]
"""Returns when the thing answers; raises, or takes too long, when it does not."""


class NotReady(Exception):
    """What a check raises to be quoted: why, in words without addresses or secrets."""


class Health:
    """What a process needs, and how that was when it was looked at last. May be asked from any thread."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._wordings: dict[str, str] = {}
        self._faults: dict[str, str] = {"": "starting"}
        self._pause_s = BEGIN_EVERY_S
        self._turned_at = time.monotonic()

    def watch(self, name: str, check: Check, fault: str = "") -> None:
        """Need something; `name` goes into answers, as 'NAME does not answer' where `fault` says nothing else."""
        self._checks[name] = check
        self._wordings[name] = fault or f"{name} does not answer"
        self._faults[name] = _write_unasked(name)
        self._faults.pop("", None)

    def find_fault(self) -> str | None:
        """Why the process can't do its work now, in words without addresses or secrets; None: it can."""
        return "; ".join(list(self._faults.values())) or None

    def is_alive(self) -> bool:
        """Whether the event loop turns."""
        return time.monotonic() - self._turned_at < DEAD_AFTER_S

    async def run(self) -> None:
        """Look every two seconds; never ends by itself."""
        looking: set[asyncio.Task[None]] = set()
        while True:
            self._turned_at = time.monotonic()
            busy = {task.get_name() for task in looking if not task.done()}
            looking = {task for task in looking if not task.done()}
            looking |= {asyncio.create_task(self._look(name), name=name) for name in self._checks if name not in busy}
            await asyncio.sleep(self._pause_s)
            if not self._faults:
                self._pause_s = LOOK_EVERY_S

    async def _look(self, name: str) -> None:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await self._checks[name]()
        except Exception as error:  # noqa: BLE001 - whatever it is, this is not ready
            fault = str(error) if isinstance(error, NotReady) else self._wordings[name]
            if self._faults.get(name) != fault:
                log.warning("not ready", why=fault, error=f"{type(error).__name__}: {error}")
            self._faults[name] = fault
        else:
            if self._faults.pop(name, None) not in (None, _write_unasked(name)):
                log.info("answers again", what=name)


def _write_unasked(name: str) -> str:
    return f"{name} was not asked yet"


async def reach_pool(pool: asyncpg.Pool) -> None:
    """Go to PostgreSQL and back; raises its errors."""
    async with pool.acquire() as connection, connection.transaction(readonly=True):
        pass
