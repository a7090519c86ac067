"""A loader that kills itself at a moment, a process of its own with the engine in it: `python -m tests.analyse.dying_clickhouse FOLDER MOMENT`."""

import asyncio
import os
import signal
import sys
import threading
from functools import partial
from typing import Any

from clickhouse_connect.driver.client import Client

from fillip.analyse.clickhouse.bay import ClickhouseBay, State
from fillip.analyse.facts import Load
from tests.analyse.bay_world import EVERYTHING, decision
from tests.analyse.stores import TOPICS, AnnouncementLog, open_chdb

MOMENTS = ("inserting", "inserted")
"""The engine is at it; all is written and nobody was told."""
TOTAL, PORTION, AMID_S = 6_000, 700, 0.02


class DyingBay(ClickhouseBay):
    """The facts of a process that ends like by kill -9 in its second load."""

    moment = ""

    def _load(self, load: Load, known: State, client: Client) -> State:
        if known.number == 0 or not self.moment:
            return super()._load(load, known, client)
        return super()._load(load, known, DyingClient(client, self))  # type: ignore[arg-type]

    def reach(self, moment: str) -> None:
        """Die where it is the moment."""
        if moment == self.moment:
            os.kill(os.getpid(), signal.SIGKILL)


class DyingClient:
    """A client that tells where it is."""

    def __init__(self, client: Client, bay: DyingBay) -> None:
        self._client, self._bay = client, bay

    def insert(self, *arguments: Any, **options: Any) -> Any:
        """See Client."""
        if self._bay.moment == "inserting":
            threading.Timer(AMID_S, self._bay.reach, ["inserting"]).start()
        answer = self._client.insert(*arguments, **options)
        self._bay.reach("inserted")
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


async def main(folder: str, moment: str) -> None:
    """Load until the moment has come; without one load all, and tell how many decisions there are."""
    log = AnnouncementLog()
    for number in range(1, TOTAL + 1):
        log.append(decision(number), number % 2)
    connect = partial(open_chdb, f"{folder}/engine")
    async with DyingBay.open(connect, TOPICS) as bay:
        bay.moment = moment
        while await log.load_into(bay, PORTION):
            pass
        print(sum(line.granted + sum(line.denied.values()) for line in await bay.report_campaign_days(EVERYTHING)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
