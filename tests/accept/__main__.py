"""`python -m tests.accept [ONLY]`: a table and build/figures/accept-NAME.json a data set; exit code 1 on a miss."""

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine

from rich.console import Console

from fillip.app.figures import Figure, show_figures
from fillip.app.up import Stack, stop_on_signals
from fillip.core.errors import FillipError
from tests.accept import cdnow, completejourney
from tests.live.running import running_stack

Accept = Callable[[Stack, Callable[[str], None]], Coroutine[None, None, list[Figure]]]

ALL: dict[str, Accept] = {"completejourney": completejourney.accept, "cdnow": cdnow.accept}


def main(wanted: list[str]) -> int:
    """Run the data sets named, or all; the exit code."""
    screen = Console()
    if unknown := set(wanted) - set(ALL):
        screen.print(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(ALL)}")
        return 2
    names = wanted or list(ALL)
    if "cdnow" in names and not cdnow.find_data():
        screen.print(f"cdnow: skipped, {cdnow.ABSENT}")
        names.remove("cdnow")
    if not names:
        return 0
    screen.print("[dim]starting PostgreSQL, Valkey, Kafka and Fillip …[/]")
    with stop_on_signals(), running_stack() as stack:
        verdicts = [run(stack, name, screen) for name in names]
    return 0 if all(verdicts) else 1


def run(stack: Stack, name: str, screen: Console) -> bool:
    """Run one data set and show its figures; whether all are as they should be."""
    began = time.monotonic()

    def tell(line: str) -> None:
        screen.print(f"[dim]{time.monotonic() - began:5.0f} s  {name}: {line}[/]", highlight=False)

    figures = asyncio.run(ALL[name](stack, tell))
    return show_figures(f"accept: {name}", f"accept-{name}", figures, screen)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except FillipError as error:
        sys.exit(f"accept: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
