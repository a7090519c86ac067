"""Runs backfills in turns, each in a process of its own; the row of one that runs is held, so that another can take over."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import Mapping, Sequence

import msgspec
import structlog
from prometheus_client import Counter

from fillip.core.backfill import BackfillOrder
from fillip.manage.backfill.postgres import begin_turn, end_turn, find_due, hold_turn
from fillip.manage.backfill.told import BackfillTold
from fillip.manage.store.postgres import Engine
from fillip.manage.turns import hold_while, keep_taking

HOLD_EVERY_S = 2.0
TURNS = Counter("fillip_backfill_turns_total", "Turns of backfills by how they ended", ["outcome"])
_read_told = msgspec.json.Decoder(BackfillTold).decode
log = structlog.get_logger()


class BackfillTurns:
    """Gives turns to what waits, one at a time."""

    def __init__(self, finder: Engine, engine: Engine, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """`finder` is of role fillip_sweep, which sees all tenants; `engine` of fillip_api, held to the backfill's tenant.

        `command` starts the process of one turn, with nothing but this `environment`.
        """
        self._finder = finder
        self._engine = engine
        self._command = command
        self._environment = environment

    async def keep_running(self) -> None:
        """Look each second, until cancelled; what fails is told in the log and tried again."""
        await keep_taking(self.take_due, waits="backfills wait", fails="a backfill could not be run")

    async def take_due(self) -> bool:
        """Give the one that is next its turn; whether there was one. Raises Retry where that can't be told or stored."""
        due = await find_due(self._finder)
        order = await begin_turn(self._engine, *due) if due else None
        if order is None:
            return False
        told: BackfillTold | None = None
        try:
            told = await self._work(order)
        finally:
            TURNS.labels("broken" if told is None else str(told.__struct_config__.tag)).inc()
            await end_turn(self._engine, order, told)
        return True

    async def _work(self, order: BackfillOrder) -> BackfillTold | None:
        """What the process told at its end; None where it broke down, or is another's by now."""
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, env=dict(self._environment)
        )
        talking = asyncio.create_task(process.communicate(msgspec.json.encode(order)))
        try:
            if not await hold_while(talking, lambda: hold_turn(self._engine, order), HOLD_EVERY_S):
                return None
            said, _ = talking.result()
        finally:
            talking.cancel()
            if process.returncode is None:
                process.kill()
            await process.wait()
        if process.returncode == 0:
            told: BackfillTold = _read_told(said)
            return told
        log.error(
            "a backfill's process failed", tenant=order.tenant_id, campaign=order.campaign_id, code=process.returncode
        )
        return None


def name_command() -> list[str]:
    """What starts the process of a backfill's turn."""
    return [sys.executable, "-m", "fillip.app.backfill"]
