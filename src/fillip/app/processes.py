"""What each process of Fillip runs, from its settings until it is told to stop."""

import asyncio
import gc
import signal
import sys
from collections.abc import Callable, Coroutine

import structlog

from fillip.app.log import set_up_logs
from fillip.app.settings import Settings, read_settings
from fillip.core.errors import Crash, FillipError

Run = Callable[[Settings, asyncio.Event], Coroutine[object, object, None]]

SWITCH_EVERY_S = 0.001
"""A thread that builds a large book gives way to the event loop that often; 5 ms usually, for each thing that it does."""
COLLECT_AFTER = (50_000, 20, 20)
"""A batch makes and drops some 50,000 objects without a cycle; Python's usual threshold looks at them 70 times."""

log = structlog.get_logger()


def serve(name: str, run: Run) -> None:
    """Run one process until SIGTERM or SIGINT. Raises Crash with one line for what ends it otherwise."""
    set_up_logs(name)
    settings = read_settings()
    if settings.metrics_port is not None:
        from prometheus_client import start_http_server

        start_http_server(settings.metrics_port, settings.host)
    import uvloop

    gc.freeze()  # modules stay for ever: no collection needs to look at them again
    gc.set_threshold(*COLLECT_AFTER)
    sys.setswitchinterval(SWITCH_EVERY_S)
    try:
        uvloop.run(_run_until_told(run, settings))
    except FillipError:
        raise
    except OSError as error:
        raise Crash(f"{name} ended: {error}; are the servers up? `fillip doctor` looks") from error


async def _run_until_told(run: Run, settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    log.info("running")
    await run(settings, stop)
    log.info("stopped")
