"""The wallets' state machine, far longer than in `make test`."""

import os
import subprocess
import sys

from fillip.app.figures import Figure, expect

EXAMPLES = 500


def prove_wallets() -> list[Figure]:
    """Grant, spend, refund, reverse, adjust, expire, one after the other and at once, on a PostgreSQL of its own."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/settle/test_wallet_machine.py"]
    ended = subprocess.run(command, env=os.environ | {"WALLET_EXAMPLES": str(EXAMPLES)}, check=False)
    return [expect(f"wallets: exit code of {EXAMPLES} examples of the state machine", 0, ended.returncode)]
