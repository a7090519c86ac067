"""What each process of Fillip runs, from its settings until it is told to stop."""

import asyncio
import gc
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import nullcontext

import structlog

from fillip.app.failure import explain
from fillip.app.giving_way import give_way
from fillip.app.health import Health
from fillip.app.log import set_up_logs
from fillip.app.monitor import serve_monitor
from fillip.app.settings import Settings, read_settings
from fillip.core.errors import Crash, FillipError

Run = Callable[[Settings, asyncio.Event, Health], Coroutine[object, object, None]]

SWITCH_EVERY_S = 0.001
"""A thread that builds a large book gives way to the event loop that often; 5 ms usually, for each thing that it does."""
COLLECT_AFTER = (50_000, 20, 20)
"""A batch makes and drops some 50,000 objects without a cycle; Python's usual threshold looks at them 70 times."""

BESIDE = ("analyse", "sweep")
"""The way from an event to its frame passes none of these."""

log = structlog.get_logger()


def serve(name: str, run: Run) -> None:
    """Run one process until SIGTERM or SIGINT. Raises Crash with one line for what ends it otherwise."""
    if name in BESIDE:
        give_way()
    set_up_logs(name)
    settings, health = read_settings(), Health()
    import uvloop

    gc.freeze()  # modules stay for ever: no collection needs to look at them again
    gc.set_threshold(*COLLECT_AFTER)
    sys.setswitchinterval(SWITCH_EVERY_S)
    with (
        nullcontext() if settings.metrics_port is None else serve_monitor(health, settings.host, settings.metrics_port)
    ):
        try:
            uvloop.run(_run_until_told(run, settings, health))
        except FillipError:
            raise
        except Exception as error:
            if (told := explain(error)) is None:
                raise
            raise Crash(f"{name} ended: {told}") from error


async def _run_until_told(run: Run, settings: Settings, health: Health) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    log.info("running")
    looking = asyncio.create_task(health.run())
    try:
        await run(settings, stop, health)
    finally:
        looking.cancel()
    log.info("stopped")
