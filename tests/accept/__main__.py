"""`python -m tests.accept [ONLY]`: a table and build/figures/accept-NAME.json a check; exit code 1 on a miss."""

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Sequence

from rich.console import Console

from fillip.app.up import Stack, stop_on_signals
from fillip.core.errors import FillipError
from fillip.figures import Figure, show_figures
from tests.accept import (
    backtest,
    cases,
    cdnow,
    cel,
    cohorts,
    completejourney,
    contract,
    debezium,
    eligibility,
    extreme_rows,
    extremes,
    fuzz,
    index,
    starbucks,
)
from tests.live.running import running_stack

Accept = Callable[[Stack, Callable[[str], None]], Coroutine[None, None, list[Figure]]]
Tell = Callable[[str], None]

PURE: dict[str, Callable[[Tell], list[Figure]]] = {
    "cel": cel.accept,
    "fuzz": fuzz.accept,
    "index": index.accept,
    "eligibility": eligibility.accept,
}
"""What needs no servers."""
ALL: dict[str, Accept] = {
    "completejourney": completejourney.accept,
    "cohorts": cohorts.accept,
    "backtest": backtest.accept,
    "cdnow": cdnow.accept,
    "starbucks": starbucks.accept,
    "extremes": extremes.accept,
    "cases": cases.accept,
    "rows": extreme_rows.accept,
    "contract": contract.accept,
    "debezium": debezium.accept,
}
SHARED = {"cdnow": cdnow, "starbucks": starbucks, "cases": cases}
"""What reads data that is not shipped."""


def main(wanted: list[str]) -> int:
    """Run the data sets named, or all; the exit code."""
    screen = Console()
    if unknown := set(wanted) - {*ALL, *PURE}:
        screen.print(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join((*ALL, *PURE))}")
        return 2
    names = wanted or [*PURE, *ALL]
    for name, data in SHARED.items():
        if name in names and not data.find_data():
            screen.print(f"{name}: skipped, {data.ABSENT}")
            names.remove(name)
    verdicts = [show(name, PURE[name](make_tell(name, screen)), screen) for name in names if name in PURE]
    if on_stack := [name for name in names if name in ALL]:
        screen.print("[dim]starting PostgreSQL, Valkey, Kafka and Fillip …[/]")
        with stop_on_signals(), running_stack() as stack:
            for name in on_stack:
                figures = asyncio.run(ALL[name](stack, make_tell(name, screen)))
                verdicts.append(show(name, figures, screen))
    return 0 if all(verdicts) else 1


def make_tell(name: str, screen: Console) -> Tell:
    """Says what goes on, and since when."""
    began = time.monotonic()
    return lambda line: screen.print(f"[dim]{time.monotonic() - began:5.0f} s  {name}: {line}[/]", highlight=False)


def show(name: str, figures: Sequence[Figure], screen: Console) -> bool:
    """Show one check's figures; whether all are as they should be."""
    return show_figures(f"accept: {name}", f"accept-{name}", figures, screen)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except FillipError as error:
        sys.exit(f"accept: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
