"""`python -m tests.proof [KILLS]`: the demo with its worker killed at random moments; the same counts must hold.

Afterwards the ledger that it leaves is started alone and its invariants are counted by SQL of our own, and its points
outstanding compared with the reports at 1,000 random instants; then the state machine of tests/oracle has its long run,
every planted fault must be found by it, the way of the write-ahead log is proved with all on it killed, the wallets are
tried for long, 64 tills race for each of 1,000 coupons, answers in the same call are compared with the ledger, with all on their way killed, and users are merged under kills.
"""

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

import asyncpg
from msgspec import json
from rich.console import Console

from fillip.app.up import stop_on_signals
from fillip.core.errors import FillipError
from fillip.embedded.servers import Servers
from fillip.figures import Figure, expect, show_figures
from tests.proof.liability import prove_liability
from tests.proof.merge import prove_merge
from tests.proof.oracle import prove_oracle
from tests.proof.race import ROUNDS, prove
from tests.proof.wait import prove_wait
from tests.proof.wal import prove_on_own_servers
from tests.proof.wallet import prove_wallets

KILLS, WAL_KILLS, WAIT_KILLS, MERGE_KILLS = 10, 5, 20, 20
TENANT = "grocer"
"""The demo's."""
TESTS = Path(__file__).parent.parent
INVARIANTS = (
    (TESTS / "proof" / "invariants.sql", [TENANT]),
    (TESTS / "settle" / "wallet_breaches.sql", [TENANT, None]),
    (TESTS / "settle" / "sums_breaches.sql", [TENANT, None]),
)


def main(kills: int) -> int:
    """Run the proof; 0 when every count and every invariant holds."""
    screen = Console()

    def tell(said: str) -> None:
        screen.print(f"[dim]{said}[/]", highlight=False)

    with stop_on_signals(), tempfile.TemporaryDirectory(prefix="fillip-proof-") as name:
        folder = Path(name)
        ended = run_demo(folder, kills)
        if ended.returncode not in (0, 1) or not find_figures(folder).exists():
            screen.print(f"proof: the demo did not come to its report, exit code {ended.returncode}")
            return 1
        screen.print("[dim]starting its PostgreSQL again, to recount[/]")
        figures = [expect("demo under kill -9: exit code", 0, ended.returncode), *read_counts(find_figures(folder))]
        with Servers(folder / "state") as addresses:
            figures += asyncio.run(count_breaches(addresses.postgres_dsn))
            figures += prove_liability(addresses.postgres_dsn, folder / "state", TENANT)
            figures += prove_oracle(addresses.postgres_dsn, screen)
        figures += prove_on_own_servers(WAL_KILLS, tell)
        figures += prove_wallets()
        figures += prove(ROUNDS)
        figures += prove_wait(WAIT_KILLS, tell)
        figures += prove_merge(MERGE_KILLS, tell)
    return 0 if show_figures(f"proof: {kills} x kill -9 of the worker", "proof", figures, screen) else 1


def run_demo(folder: Path, kills: int) -> subprocess.CompletedProcess[bytes]:
    """`fillip demo --kills` on this terminal, with everything it writes below `folder`."""
    command = [sys.executable, "-m", "fillip.app.cli", "demo", "--kills", str(kills), "--state", str(folder / "state")]
    return subprocess.run(command, cwd=folder, check=False)


def find_figures(folder: Path) -> Path:
    """What the demo wrote."""
    return folder / "build" / "figures" / "demo.json"


def read_counts(path: Path) -> list[Figure]:
    """The demo's figures that must be exact."""
    return [figure for figure in json.decode(path.read_bytes(), type=list[Figure]) if figure.goal.startswith("=")]


async def count_breaches(dsn: str) -> list[Figure]:
    """One figure for each invariant: how often the ledger breaks it."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = [await connection.fetchrow(file.read_text(), *given) for file, given in INVARIANTS]
    finally:
        await connection.close()
    return [expect(name, 0, count) for row in rows if row for name, count in row.items()]


if __name__ == "__main__":
    try:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else KILLS))
    except FillipError as error:
        sys.exit(f"proof: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
