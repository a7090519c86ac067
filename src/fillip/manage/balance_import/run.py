"""Posts balance imports, a portion at a time: whatever is killed when, each row is posted once."""

from datetime import timedelta
from functools import partial

import structlog
from prometheus_client import Counter

from fillip.core.errors import Retry
from fillip.manage.balance_import import postgres
from fillip.manage.store.postgres import Engine, describe_away, is_away
from fillip.manage.turns import keep_taking, take_portion

LATER = timedelta(seconds=5)
PORTIONS = Counter("fillip_balance_import_portions_total", "Portions of balance imports by how they ended", ["outcome"])
log = structlog.get_logger()


class ImportRuns:
    """Posts the portion that is next, one at a time, imports in turn; several processes share the work."""

    def __init__(self, finder: Engine, engine: Engine) -> None:
        """`finder` is of role fillip_sweep, which sees all tenants; `engine` of fillip_api, held to the import's tenant."""
        self._finder, self._engine = finder, engine

    async def keep_running(self) -> None:
        """Look each second, until cancelled; what fails is told in the log and by the import, and tried again."""
        waits, fails = "balance imports wait", "a balance import could not be looked for"
        await keep_taking(self.take_portion, waits=waits, fails=fails, quotes=False)

    async def take_portion(self) -> bool:
        """Post the portion that is next; whether there was one. Raises Retry where that can't be told or stored."""
        return await take_portion(partial(postgres.find_due, self._finder), self._post, self._put_off)

    async def _post(self, due: postgres.DueImport) -> bool:
        is_posted = await postgres.post_portion(self._engine, due)
        PORTIONS.labels("posted").inc(is_posted)
        return is_posted

    async def _put_off(self, due: postgres.DueImport, error: Exception) -> None:
        PORTIONS.labels("failed").inc()
        await postgres.put_off(self._engine, due, LATER, self._tell(due, error))

    def _tell(self, due: postgres.DueImport, error: Exception) -> str:
        """Why a portion was not posted; never the text of an error that may quote a user."""
        if isinstance(error, Retry):
            return str(error)
        if is_away(error):
            return describe_away(error)
        log.error("a balance import failed", tenant=due.tenant_id, import_id=due.import_id, error=type(error).__name__)
        return f"it broke down: {type(error).__name__}"
