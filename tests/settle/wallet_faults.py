"""Planted faults of holds, each of which the wallets' state machine has to find; see tests.oracle.faults."""

from collections import Counter
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test
from msgspec.structs import replace

from fillip.core.ledger import wallet
from fillip.core.ledger.hold import PointsHold, StoredHold
from fillip.core.ledger.wallet import Wallet
from fillip.rows.wallet import hold_postgres
from fillip.rows.wallet.hold_postgres import HoldRows
from tests.oracle.focus import drop_rules
from tests.oracle.planting import SEARCH, Fault, Plant, Search, plant_attribute
from tests.oracle.shop import Hindered
from tests.settle.wallet_machine import WalletMachine
from tests.settle.wallet_site import Site, small_pages

KEPT = {"grant", "hold_for_days"}
"""What sequences are cut to that look for one of them."""

_read_hold, _write, _cut_shares, _give_back = (
    hold_postgres._read_hold,
    HoldRows._write,
    Wallet.cut_shares,
    Wallet.give_back,
)


def _hold_beside(self: Wallet, transfer_id: UUID, source_id: str, amount: int, at: datetime) -> bool:
    """What is held can be spent all the same."""
    if amount > self.balance.active:
        return False
    self._move(transfer_id, "hold", "issued", "held", amount, {}, source_id, at)
    return True


def _forget_capture(row: Any) -> StoredHold:
    stored = _read_hold(row)
    hold = stored.hold
    return (
        replace(stored, hold=replace(hold, state="held", captured=0, due_at=hold.held_until))
        if hold.captured
        else stored
    )


async def _keep_due(self: HoldRows, key: Wallet, hold: PointsHold) -> None:
    await _write(self, key, replace(hold, due_at=hold.due_at or hold.held_until) if hold.captured else hold)


def _give_nothing_late(
    self: Wallet, transfer_id: UUID, spent: Any, refund_id: str | None, portion: Any, at: datetime
) -> None:
    """What a hold gives back comes as new points, that never expire."""
    _give_back(self, transfer_id, spent, refund_id, replace(portion, shares={}) if refund_id is None else portion, at)


def _cut_from_the_last(self: Wallet, shares: Any, begin: int, end: int) -> dict[str, int]:
    """What expires first comes back first."""
    whole = -sum(shares.values())
    return _cut_shares(self, shares, whole - end, whole - begin)


def _plant(*plants: Plant) -> Plant:
    def plant_all(patch: pytest.MonkeyPatch) -> None:
        for plant in plants:
            plant(patch)

    return plant_all


WALLET_FAULTS = [
    Fault("a hold that does not count against the balance", plant_attribute(Wallet, "hold", _hold_beside)),
    Fault(
        "a hold captured twice",
        _plant(
            plant_attribute(hold_postgres, "_read_hold", _forget_capture),
            plant_attribute(wallet, "identify_capture", lambda transfer_id: uuid4()),
        ),
    ),
    Fault(
        "a hold freed by its time-out after its capture",
        _plant(
            plant_attribute(HoldRows, "_write", _keep_due),
            plant_attribute(PointsHold, "_is_over", lambda self, now: self.held_until <= now),
            plant_attribute(PointsHold, "back", property(lambda self: 0 if self.state == "held" else self.amount)),
        ),
    ),
    Fault("a capture after the time-out", plant_attribute(PointsHold, "_is_over", lambda self, now: False)),
    Fault(
        "what a capture leaves that stays held",
        plant_attribute(
            PointsHold, "back", property(lambda self: 0 if self.state in ("held", "captured") else self.amount)
        ),
    ),
    Fault("held points that come back without their expiry", plant_attribute(Wallet, "give_back", _give_nothing_late)),
    Fault("held points that expire first come back first", plant_attribute(Wallet, "cut_shares", _cut_from_the_last)),
]


async def _note_hindrance(answer: httpx.Response) -> None:
    if answer.status_code == 503:
        raise Hindered(str(answer.request.url))


def find_in_wallets(site: Site, fault: Fault, examples: int = 100) -> Search:
    """What the wallets' state machine says of a planted fault; `site` is not to be used again. Raises what hindered it."""
    machine: Any = type(
        "Faulty", (WalletMachine,), {"site": site, "bites": Counter(), **drop_rules(WalletMachine, KEPT)}
    )
    site.client.event_hooks = {"response": [_note_hindrance]}
    said = ""
    with pytest.MonkeyPatch.context() as patch, small_pages():
        fault.plant(patch)
        try:
            run_state_machine_as_test(machine, settings=settings(SEARCH, max_examples=examples, stateful_step_count=6))
        except (Flaky, Hindered):
            raise
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
    return Search(said, site.users)
