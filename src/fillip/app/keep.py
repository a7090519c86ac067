"""`fillip up` on the terminal: progress while starting, the URLs, and processes started again when they end."""

import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.panel import Panel

from fillip.app.embedded import External
from fillip.app.up import Stack, stop_on_signals

LOOK_EVERY_S = 1.0


def keep_up(state: Path, ports: Mapping[str, int | None], external: External, screen: Console) -> None:
    """Start all, print where it answers, and stay until Ctrl-C. Raises Crash when it can't start."""
    began = time.monotonic()

    def report(step: str, detail: str) -> None:
        screen.print(f"[dim]{time.monotonic() - began:5.1f} s[/]  {step}: {detail}", highlight=False)

    with stop_on_signals():
        try:
            with Stack(state, report, ports, external) as stack:
                screen.print(describe(stack))
                while True:
                    time.sleep(LOOK_EVERY_S)
                    stack.revive()
        except KeyboardInterrupt:
            screen.print("stopped; the state is kept, and starting again goes on from it")


def describe(stack: Stack) -> Panel:
    """The URLs of a running stack and what to do next."""
    doors = stack.doors
    return Panel.fit(
        f"API        {doors.api}/docs\n"
        f"gateway    {doors.gateway}/v1/stream\n"
        f"reports    {doors.analyse}/v1/reports/campaign-days\n"
        f"state      {stack.state_dir}\n\n"
        f"next       fillip tenant create acme --state {stack.state_dir}\n"
        "stop       Ctrl-C",
        title="Fillip is up",
    )
