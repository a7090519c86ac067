"""The loop that keeps day files: rows go into files, small ones become large ones, old ones are removed."""

import asyncio
from typing import Protocol

import structlog
from prometheus_client import Counter

from fillip.core.errors import Retry

TURN_S = 5.0
FILED = Counter("fillip_analyse_day_files_total", "Day files written", ["why"])
log = structlog.get_logger()


class Files(Protocol):
    """The day files. Each call is done whole or not at all, and raises Retry when disk or memory is short."""

    async def write_out(self) -> int:
        """Move rows to files; the number of files."""
        ...

    async def merge(self) -> int:
        """Make large files of small ones; the number of files."""
        ...

    async def remove(self, keep_days: int) -> None:
        """Remove old events, and files that others have replaced."""
        ...


async def keep_filing(files: Files, keep_days: int) -> None:
    """File until cancelled; what fails is told in the log, and tried again at the next turn."""
    while True:
        try:
            while written := await files.write_out():
                FILED.labels("written").inc(written)
            while merged := await files.merge():
                FILED.labels("merged").inc(merged)
            await files.remove(keep_days)
        except Exception as error:
            told = None if isinstance(error, Retry) else error
            log.warning("day files stay as they are for now", error=str(error), exc_info=told)
        await asyncio.sleep(TURN_S)
