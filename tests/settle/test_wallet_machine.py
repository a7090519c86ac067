"""Points under everything at once: debits = credits, balances are sums, nobody under a floor, one winner in each race, and
the same sums wherever they are told.
"""

import os
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conftest import NewDatabase
from tests.settle.wallet_machine import PARTS, WalletMachine
from tests.settle.wallet_site import Site, small_pages

EXAMPLES = int(os.environ.get("WALLET_EXAMPLES", "15"))
"""`make proof` takes more."""
BITES = {"swept", "races", "floors", "debts", "storms", "behind", "late", "forgiven", "too late"} | {
    "refunds in part",
    "reversals in part",
    "captures in part",
    "timed out",
    "gifts",
    "holds captured later",
    "holds voided later",
    "holds timed out later",
}


@pytest.fixture(scope="module")
def wallet_site(new_database: NewDatabase) -> Iterator[Site]:
    """A database of this module's own."""
    with new_database() as dsn, small_pages():
        made = Site(dsn)
        yield made
        made.close()


def test_the_machine_bites(wallet_site: Site):
    """What the random run below is there to meet does come up, told once in a fixed order."""
    machine = build_machine(wallet_site)()
    for currency in ("FIRM", "FREE"):
        machine.open_wallet(currency)
        machine.let_days_pass(1, then="sweep")  # 5 expire, 5 become active
        machine.race_for_all(4)
        machine.take_back_what_was_spent(2, PARTS[1])
        machine.take_back_what_was_spent(2, {})
        machine.reverse(0, {})  # of what has expired
        machine.grant(5, None, 1)
        for back in (0, 3):
            for days in (0, 1):
                for lasts in (1, 1, 2, None):
                    machine.grant(5, None, lasts)
                machine.let_lots_fall_behind(3, days, back + days, back)
                machine.nothing_is_wrong()
        machine.let_days_pass(1, then="sweep")
        machine.do_at_once([("grant", 5), ("spend", 0, 3), ("reverse", 1, PARTS[3]), ("sweep",)])
        machine.grant(5, None, 1)
        machine.let_days_pass(1, then="spend")
        machine.grant(9, None, None)
        machine.spend(1, 8)
        machine.refund(1, 0, 3)
        machine.refund(1, 1, None)
        machine.nothing_is_wrong()
        machine.grant(20, None, 2)
        machine.grant(20, None, None)
        for number, amount in enumerate((5, 30, 2)):
            machine.hold(number, amount, 1)
        machine.end_hold(0, 2, takes=True)
        machine.let_days_pass(0, then="sweep")  # until no lot is behind
        machine.give(0, 1, back=False)
        machine.give(0, 1, back=True)
        machine.do_at_once([("hold", 3, 1), ("end_hold", 2, None, False), ("end_hold", 2, None, True), ("sweep",)])
        machine.let_days_pass(2, then="sweep")
        machine.end_hold(1, None, takes=True)
        for number, ends in enumerate(("captured", "voided", "timed out")):
            machine.let_days_pass(3, then="sweep")
            for lasts in (1, 2, None):
                machine.grant(10, None, lasts)
            machine.hold_for_days(number, 3, 12, 1, ends)
        machine.nothing_is_wrong()
        machine.teardown()
    assert {what for what, times in machine.bites.items() if times} >= BITES, machine.bites


def test_whatever_comes_at_once_the_wallets_add_up(wallet_site: Site):
    run_state_machine_as_test(
        build_machine(wallet_site),
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def build_machine(wallet_site: Site) -> type[WalletMachine]:
    """The machine on this ledger."""
    return type("Machine", (WalletMachine,), {"site": wallet_site, "bites": Counter()})
