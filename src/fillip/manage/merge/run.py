"""Brings the lots of merged users over, a portion at a time: whatever is killed when, each comes over once."""

from datetime import timedelta
from functools import partial

import structlog
from prometheus_client import Counter

from fillip.core.errors import Retry
from fillip.manage.merge import portions_postgres
from fillip.manage.store.postgres import Engine
from fillip.manage.turns import keep_taking, take_portion

LATER = timedelta(seconds=2)
PORTIONS = Counter("fillip_merge_portions_total", "Portions of merges of users by how they ended", ["outcome"])
log = structlog.get_logger()


class MergeRuns:
    """Moves the portion that is next, one at a time, merges in turn; several processes share the work."""

    def __init__(self, finder: Engine, engine: Engine) -> None:
        """`finder` is of role fillip_sweep, which sees all tenants; `engine` of fillip_api, held to the merge's tenant."""
        self._finder, self._engine = finder, engine

    async def keep_running(self) -> None:
        """Look each second, until cancelled; what fails is told in the log, and tried again."""
        waits, fails = "merges of users wait", "a merge of users could not be looked for"
        await keep_taking(self.take_portion, waits=waits, fails=fails, quotes=False)

    async def take_portion(self) -> bool:
        """Move the portion that is next; whether there was one. Raises Retry where that can't be told or stored."""
        return await take_portion(partial(portions_postgres.find_due, self._finder), self._move, self._put_off)

    async def _move(self, due: portions_postgres.DueMerge) -> bool:
        is_moved = await portions_postgres.move_portion(self._engine, due)
        PORTIONS.labels("moved").inc(is_moved)
        return is_moved

    async def _put_off(self, due: portions_postgres.DueMerge, error: Exception) -> None:
        PORTIONS.labels("failed").inc()
        if isinstance(error, Retry):
            log.info("a merge of users waits", tenant=due.tenant_id, error=str(error))
        else:  # never its text, which may quote a user
            log.error("a portion of a merge failed", tenant=due.tenant_id, error=type(error).__name__)
        await portions_postgres.put_off(self._engine, due, LATER)
