"""`python -m tests.bench [ONLY …]`: a table and build/figures/bench-NAME.json each; exit code 1 on a miss."""

import sys
import time
from collections.abc import Callable

from rich.console import Console

from fillip.app.up import stop_on_signals
from fillip.core.errors import FillipError
from fillip.figures import Figure, show_figures
from tests.bench import (
    backfill,
    backtest,
    bay,
    books,
    cohorts,
    eligibility,
    explain,
    force,
    heavy,
    hot,
    http,
    imports,
    index,
    ledger,
    limits,
    lists,
    memory,
    neighbours,
    projection,
    quests,
    realtime,
    reports,
    reversals,
    rules,
    users,
    wait,
    wal,
    wallet,
    worker,
)
from tests.bench.site import Site

ALL: dict[str, Callable[[Site], list[Figure]]] = {
    "rules": rules.bench,
    "index": index.bench,
    "books": books.bench,
    "cohorts": cohorts.bench,
    "ledger": ledger.bench,
    "quests": quests.bench,
    "heavy": heavy.bench,
    "reversals": reversals.bench,
    "limits": limits.bench,
    "lists": lists.bench,
    "http": http.bench,
    "explain": explain.bench,
    "eligibility": eligibility.bench,
    "force": force.bench,
    "neighbours": neighbours.bench,
    "backfill": backfill.bench,
    "backtest": backtest.bench,
    "realtime": realtime.bench,
    "bay": bay.bench,
    "reports": reports.bench,
    "projection": projection.bench,
    "wait": wait.bench,
    "wal": wal.bench,
    "users": users.bench,
    "hot": hot.bench,
    "wallet": wallet.bench,
    "imports": imports.bench,
    "bytes": memory.bench,
    "worker": worker.bench,
}


def main(wanted: list[str]) -> int:
    """Run the benches named, or all; the exit code."""
    screen, began = Console(), time.monotonic()
    if unknown := set(wanted) - set(ALL):
        screen.print(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(ALL)}")
        return 2

    def tell(line: str) -> None:
        screen.print(f"[dim]{time.monotonic() - began:5.0f} s  {line}[/]", highlight=False)

    with stop_on_signals(), Site(tell) as site:
        verdicts = [
            show_figures(f"bench: {name}", f"bench-{name}", ALL[name](site), screen) for name in wanted or list(ALL)
        ]
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except FillipError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
