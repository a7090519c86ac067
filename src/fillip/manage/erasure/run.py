"""Carries out erasures, a step at a time, each of which may be done again: whatever is killed when, it goes on."""

from datetime import timedelta
from typing import Protocol

import structlog
from prometheus_client import Counter

from fillip.core.errors import Retry
from fillip.http.erasure_order import MOST_REJECTIONS, ErasureOrder, ErasureOutcome
from fillip.manage.erasure import postgres
from fillip.manage.erasure.postgres import Erasure
from fillip.manage.store.postgres import Engine
from fillip.manage.turns import keep_taking

WAIT, LATER = timedelta(seconds=1), timedelta(seconds=5)
STEPS = Counter("fillip_erasure_steps_total", "Steps of erasures by how they ended", ["step", "outcome"])
log = structlog.get_logger()

Ends = dict[str, dict[str, int]]
"""Offsets by topic and partition."""


class Topics(Protocol):
    """What the topics hold, and what was taken of them. Each raises Retry."""

    async def read_received(self) -> Ends:
        """Where the events' topic ends now."""

    async def are_settled(self, ends: Ends) -> bool:
        """Whether the ledger has taken all events before that."""

    async def read_loaded(self) -> Ends:
        """Where the topics end now that reports are loaded from, without those partitions that hold nothing."""


class Reports(Protocol):
    """What reports are made of."""

    async def erase(self, order: ErasureOrder) -> ErasureOutcome:
        """Erase a user, as far as is possible now; safe to repeat. Raises Retry."""


class ErasureRuns:
    """Takes the step that is due, one at a time; several processes share the work."""

    def __init__(self, finder: Engine, engine: Engine, topics: Topics, reports: Reports | None) -> None:
        """`finder` is of role fillip_sweep, which sees all tenants; `engine` of fillip_api, held to the erasure's tenant.

        Without `reports` an erasure waits for them, and says so.
        """
        self._finder, self._engine = finder, engine
        self._topics, self._reports = topics, reports

    async def keep_running(self) -> None:
        """Look each second, until cancelled; what fails is told in the log and tried again."""
        waits, fails = "erasures wait", "an erasure could not be looked for"
        await keep_taking(self.take_step, waits=waits, fails=fails, quotes=False)

    async def take_step(self) -> bool:
        """Take the step that is due; whether one was. Raises Retry where that can't be told or stored."""
        held = await postgres.begin_step(self._finder, self._engine)
        if held is None:
            return False
        try:
            await getattr(self, f"_do_{held.step}")(held)
        except Exception as error:  # noqa: BLE001 - whatever it is, the erasure goes on
            STEPS.labels(held.step, "failed").inc()
            told = str(error) if isinstance(error, Retry) else f"it broke down: {type(error).__name__}"
            if not isinstance(error, Retry):  # its text may quote the user
                log.error("a step of an erasure failed", erasure=str(held.erasure_id), step=held.step, error=told)
            await postgres.end_step(self._engine, held, LATER, error=told)
        else:
            STEPS.labels(held.step, "done").inc()
        return True

    async def _do_settling(self, held: Erasure) -> None:
        """What was sent before the request is decided before the cut: it is of the user who goes."""
        if held.ends is None:
            await postgres.end_step(self._engine, held, ends=await self._topics.read_received())
        elif not await self._topics.are_settled(held.ends):
            await postgres.end_step(self._engine, held, WAIT, error="events sent before it are still to be decided")
        elif not await postgres.are_imported(self._engine, held):
            await postgres.end_step(
                self._engine, held, WAIT, error="balance imports from before it are still to be posted"
            )
        elif await postgres.are_counted(self._engine, held):
            await postgres.end_step(self._engine, held, step="ledger", ends=None)
        else:
            await postgres.end_step(self._engine, held, WAIT, error="cohorts are still to count events sent before it")

    async def _do_ledger(self, held: Erasure) -> None:
        await postgres.erase_ledger(self._engine, held)

    async def _do_events(self, held: Erasure) -> None:
        await postgres.erase_events(self._engine, held)
        await postgres.erase_originals(self._engine, held)
        commit_lsn = await postgres.read_written(self._engine)
        await postgres.end_step(self._engine, held, step="announcing", commit_lsn=commit_lsn)

    async def _do_announcing(self, held: Erasure) -> None:
        """What was decided of the user is in the topics, so that reports can load it before they erase."""
        if await postgres.is_announced(self._engine, held.commit_lsn or ""):
            await postgres.end_step(self._engine, held, step="reports", ends=await self._topics.read_loaded())
        else:
            await postgres.end_step(self._engine, held, WAIT, error="changes of the ledger are still to be announced")

    async def _do_reports(self, held: Erasure) -> None:
        if self._reports is None:
            raise Retry("reports can't be asked: set FILLIP_ANALYSE_KEY for sweep and analyse")
        if held.cut_at is None:
            raise Retry("the ledger has not told up to when")
        rejections = await postgres.list_erased_rejections(self._engine, held, MOST_REJECTIONS)
        order = ErasureOrder(
            held.tenant_id,
            held.user_id,
            held.pseudonym,
            held.salt,
            held.cut_at,
            {topic: {int(number): end for number, end in ends.items()} for topic, ends in (held.ends or {}).items()},
            rejections,
        )
        answer = await self._reports.erase(order)
        if answer.done and await postgres.has_parts(self._engine, held):
            await postgres.end_step(
                self._engine, held, WAIT, error="ids that were merged into it are still to be erased"
            )
        elif answer.done:
            await postgres.finish(self._engine, held)
        else:
            await postgres.end_step(self._engine, held, WAIT, error=answer.pending)
