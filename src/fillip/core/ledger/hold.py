"""Holds: points that a checkout sets aside until it knows what it takes of them.

    held --capture--> captured (the rest comes back)
      |---void------> voided      (all comes back)
      +---time-out--> timed_out   (all comes back)

It is timed out from its time on, whether or not the sweep has been there. Who asks for the same again gets the same answer.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.errors import Refused
from fillip.core.ledger.points import Transfer

HoldState = Literal["held", "captured", "voided", "timed_out"]


class HoldRefused(Refused):
    """Why a hold can't be captured or voided; `kind` is the stable word for it."""

    def __init__(self, kind: str, message: str, *, at: str | None = None) -> None:
        super().__init__(message, at=at)
        self.kind = kind


class PointsHold(Struct, frozen=True):
    """A hold of `amount` points, under an id that is the tenant's. `due_at` is when something of it is to be moved: its time-out,
    or, while what it gives back has not come back whole, at once; None: never.
    """

    transfer_id: UUID
    seq: int
    hold_id: str
    amount: int
    held_until: datetime
    due_at: datetime | None
    state: HoldState = "held"
    captured: int = 0
    ended_at: datetime | None = None

    @property
    def back(self) -> int:
        """What of it comes back."""
        return 0 if self.state == "held" else self.amount - self.captured

    def is_due(self, now: datetime) -> bool:
        """Whether something of it is to be moved by now."""
        return self.due_at is not None and self.due_at <= now

    def as_of(self, now: datetime) -> "PointsHold":
        """The hold with its time-out, where that has come."""
        return replace(self, state="timed_out", ended_at=self.held_until) if self._is_over(now) else self

    def capture(self, amount: int | None, now: datetime) -> "PointsHold":
        """Take so much of it (None: all), once. Raises HoldRefused."""
        hold, asked = self.as_of(now), amount or self.amount
        if hold.state == "captured":
            if amount is None or amount == hold.captured:
                return hold
            raise HoldRefused(
                "conflict", f"of hold '{hold.hold_id}' {hold.captured} were captured before", at="/amount"
            )
        if hold.state == "timed_out":
            raise HoldRefused(
                "hold-timed-out", f"hold '{hold.hold_id}' has timed out, its points are free: hold them anew"
            )
        if hold.state == "voided":
            raise HoldRefused("conflict", f"hold '{hold.hold_id}' was voided, its points are free: hold them anew")
        if asked > hold.amount:
            raise HoldRefused(
                "conflict", f"hold '{hold.hold_id}' has {hold.amount}, {asked} are asked for", at="/amount"
            )
        return replace(hold, state="captured", captured=asked, ended_at=now)

    def void(self, now: datetime) -> "PointsHold":
        """Give it up; one that has ended without being captured needs nothing. Raises HoldRefused."""
        hold = self.as_of(now)
        if hold.state == "captured":
            raise HoldRefused("conflict", f"hold '{hold.hold_id}' was captured: refund it as a spend")
        return replace(hold, state="voided", ended_at=now) if hold.state == "held" else hold

    def _is_over(self, now: datetime) -> bool:
        return self.state == "held" and self.held_until <= now


class StoredHold(Struct, frozen=True):
    """A hold, and the transfer that made it."""

    hold: PointsHold
    made: Transfer
