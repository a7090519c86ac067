"""Another worker beside a running stack, on topics of its own: with other partitions, or with a planted fault.

`python -m tests.accept.lane [FAULT]` is that worker, with its settings in the environment.
"""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fillip.app.processes import serve
from fillip.app.settings import Settings
from fillip.app.up import Doors, Stack
from fillip.app.worker import run_worker
from fillip.stream.kafka import ensure_topics
from fillip.stream.topics import Topics
from tests.accept.wrong_engines import plant

STOP_WITHIN_S = 15


@dataclass(frozen=True)
class Lane:
    """What of a Stack the words of tests.live.running ask for."""

    settings: Settings
    doors: Doors


@asynccontextmanager
async def open_lane(stack: Stack, prefix: str, *, partitions: int, fault: str = "") -> AsyncIterator[Lane]:
    """A lane with its worker running; it ends with the block. A book must be complete before its first event is sent."""
    settings = stack.settings.model_copy(
        update={"topic_prefix": prefix, "partitions": partitions, "metrics_port": None}
    )
    await ensure_topics(settings.kafka_bootstrap, Topics(prefix), partitions)
    values = settings.model_dump(mode="json", exclude_none=True, exclude={"allowed_origins"})
    command = [sys.executable, "-m", "tests.accept.lane", fault]
    with (stack.state_dir / "log" / f"lane-{prefix}log").open("ab") as out:
        environment = os.environ | {f"FILLIP_{name.upper()}": str(value) for name, value in values.items()}
        worker = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment)
    try:
        yield Lane(settings, stack.doors)
    finally:
        worker.terminate()
        try:
            worker.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            worker.kill()


if __name__ == "__main__":
    plant(sys.argv[1] if len(sys.argv) > 1 else "")
    serve("worker", run_worker)
