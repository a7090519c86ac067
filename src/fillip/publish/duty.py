"""What a publisher does: it waits for another one, announces a snapshot, or reads the WAL. For health, metrics and the log."""

import asyncio
import time
from typing import Literal, TypeAlias, get_args

import structlog

from fillip.core.errors import Retry
from fillip.publish import metrics
from fillip.publish.postgres import Slot

DutyName: TypeAlias = Literal["connecting", "waiting", "snapshot", "reading"]

log = structlog.get_logger()


class Duty:
    """What this publisher does now, and whether the slot is there."""

    name: DutyName

    def __init__(self) -> None:
        self.changes = 0
        self._lost = asyncio.Event()
        self.take("connecting")

    def take(self, name: DutyName, epoch: str = "") -> None:
        """From now on it does that; `epoch` is of the snapshot or of the WAL that is read."""
        if self.changes and self.name == name:
            return
        self.name, self.changes = name, self.changes + 1
        for each in get_args(DutyName):
            metrics.duty.labels(each).set(each == name)
        metrics.duty_since.set(time.time())
        if epoch:
            metrics.epoch.info({"epoch": epoch})
        if name == "waiting":
            log.info("another publisher has the slot: this one waits for it")

    def note_slot(self, slot: Slot | None) -> bool:
        """Tell how the slot stands; whether it can be read from. A loss is told and counted once."""
        is_lost = slot is None or slot.lost
        if is_lost and not self._lost.is_set():
            metrics.slots_lost.inc()
            why = "there is none" if slot is None else f"PostgreSQL has thrown away WAL that {slot.name} still needed"
            log.error("the slot is lost: %s. All is announced anew from a snapshot, under a new epoch", why)
        if is_lost:
            self._lost.set()
        else:
            self._lost.clear()
        if slot is not None:
            metrics.slot_lag.set(slot.lag_bytes)
            metrics.slot_room.set(float("inf") if slot.room_bytes is None else max(0, slot.room_bytes))
        return not is_lost

    async def wait_for_loss(self) -> None:
        """Raises Retry as soon as the slot is lost."""
        await self._lost.wait()
        raise Retry("the slot is lost")

    def check(self) -> None:
        """Raises Retry that says why the WAL is not being read, in words for anybody."""
        if self.name != "reading":
            raise Retry(_WHY[self.name])


_WHY: dict[DutyName, str] = {
    "connecting": "the WAL is not being read: PostgreSQL or Kafka is away",
    "waiting": "another publish reads the WAL: this one waits, and takes over when that one ends",
    "snapshot": "all rows are being announced anew from a snapshot: the slot was lost",
}
