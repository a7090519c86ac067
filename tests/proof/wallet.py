"""The wallets' state machine, far longer than in `make test`."""

import os
import subprocess
import sys

from fillip.figures import Figure, expect

EXAMPLES = 1_000


def prove_wallets() -> list[Figure]:
    """Grant, spend, refund in part, reverse in part and by lines, adjust, expire, one after the other and at once, on real
    servers: wallets, reversals, incentives, limits, reports and frames say the same sums.
    """
    command = [sys.executable, "-m", "pytest", "-q", "tests/settle/test_wallet_machine.py"]
    ended = subprocess.run(command, env=os.environ | {"WALLET_EXAMPLES": str(EXAMPLES)}, check=False)
    return [
        expect(
            f"every sum agrees: exit code of {EXAMPLES:,} examples of the wallets' state machine", 0, ended.returncode
        )
    ]
