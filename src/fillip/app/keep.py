"""`fillip up` on the terminal: progress while starting, the URLs, and processes started again when they end."""

import time

from rich.console import Console
from rich.panel import Panel

from fillip.app.settings import Settings
from fillip.app.up import DOORS, Stack, stop_on_signals
from fillip.embedded.process import Report

LOOK_EVERY_S = 1.0


def keep_up(given: Settings, screen: Console) -> None:
    """Start all, print where it answers, and stay until Ctrl-C. Raises Crash when it can't start."""
    began, named = time.monotonic(), given.model_fields_set
    ports: dict[str, int | None] = {
        name: getattr(given, door) if door in named else None for name, door in DOORS.items()
    }

    with stop_on_signals():
        try:
            with Stack(given.state_dir, build_report(screen, began), ports, given) as stack:
                screen.print(describe(stack))
                while True:
                    time.sleep(LOOK_EVERY_S)
                    stack.revive()
        except KeyboardInterrupt:
            screen.print("stopped; the state is kept, and starting again goes on from it")


def build_report(screen: Console, began: float) -> Report:
    """Prints each step with the seconds since `began` (of the monotonic clock)."""

    def report(step: str, detail: str) -> None:
        screen.print(f"[dim]{time.monotonic() - began:5.1f} s[/]  {step}: {detail}", highlight=False)

    return report


def describe(stack: Stack) -> Panel:
    """The URLs of a running stack and what to do next."""
    doors, host = stack.doors, stack.settings.host
    metrics = "\n".join(
        f"{'metrics' if at == 0 else '':11}http://{host}:{port}/metrics  {name}"
        for at, (name, port) in enumerate(stack.metrics_ports.items())
    )
    return Panel.fit(
        f"API        {doors.api}/docs\n"
        f"gateway    {doors.gateway}/v1/stream\n"
        f"reports    {doors.analyse}/v1/reports/campaign-days\n"
        f"{metrics}\n"
        f"state      {stack.state_dir}\n\n"
        f"next       fillip tenants create acme --state {stack.state_dir}\n"
        "stop       Ctrl-C",
        title="Fillip is up",
    )
