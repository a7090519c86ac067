"""A loader that kills itself at a moment, a process of its own: `python -m tests.analyse.dying_loader MOMENT BOOTSTRAP FOLDER PREFIX`."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from fillip.analyse import keep_filing, keep_loading
from fillip.analyse.day_files import duckdb as day_files
from fillip.analyse.duckdb.bay import DuckdbBay
from fillip.analyse.facts import Aside, Load
from fillip.stream.belt import Record
from fillip.stream.topics import Topics
from tests.analyse.bay_world import BayWorld

MOMENTS = ("opened", "taken", "inserted", "loaded", "filing")
"""The file is open; records were taken, nothing loaded; rows are written, their transaction is open; a load is committed; a file is written, its
rows are still in their table."""


class DyingBay(DuckdbBay):
    """The facts of a process that ends like by kill -9 the first time it reaches its moment."""

    moment = ""

    async def load(self, load: Load) -> None:
        """See Bay."""
        self.reach("taken")
        await super().load(load)
        self.reach("loaded")

    def _insert(self, topic: str, rows: Sequence[Record]) -> list[Aside]:
        unknown = super()._insert(topic, rows)
        self.reach("inserted")
        return unknown

    def reach(self, moment: str) -> None:
        """Die where it is the moment."""
        if moment == self.moment:
            os.kill(os.getpid(), signal.SIGKILL)


async def main(moment: str, bootstrap: str, folder: str, prefix: str) -> None:
    """Load until the moment has come."""
    world = BayWorld(bootstrap, Path(folder))
    world.topics = Topics(prefix=prefix)
    async with DyingBay.open(world.file, world.topics) as bay:
        bay.moment = moment
        bay.reach("opened")
        if moment == "filing":
            day_files.MANY_ROWS, day_files._sync = 1, lambda file: bay.reach("filing")
        async with asyncio.TaskGroup() as group:
            group.create_task(keep_filing(bay.day_files, 400))
            group.create_task(keep_loading(bay, world.open_tail, world.topics.received))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
