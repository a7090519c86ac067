"""Points under everything at once: debits = credits, balances are sums, nobody under a floor, one winner in each race."""

import os
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conftest import NewDatabase

from .wallet_machine import Site, WalletMachine

EXAMPLES = int(os.environ.get("WALLET_EXAMPLES", "25"))
"""`make proof` takes more."""
BITES = {"debts", "floors", "swept", "storms", "races"}
"""What must have come up at least once, or the test was empty."""


@pytest.fixture(scope="module")
def site(new_database: NewDatabase) -> Iterator[Site]:
    """A database of this module's own."""
    with new_database() as dsn:
        made = Site(dsn)
        yield made
        made.close()


def test_whatever_comes_at_once_the_wallets_add_up(site: Site):
    machine = type("Machine", (WalletMachine,), {"site": site, "bites": Counter()})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
    assert {bite for bite, count in machine.bites.items() if count} >= BITES, machine.bites
