"""Claiming: how what was granted is honoured, once, by a till or an app.

    granted --reserve--> reserved --confirm--> claimed
       ^                    |
       +--release, time-out-+          granted --claim--> claimed

What has expired or was reversed can't be claimed. `expired` goes by the time given, whether or not the sweep has stored it.
A reservation is named by whoever makes it: the same name again changes nothing and gets the same answer.
"""

from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.campaign.reward_kind import KINDS
from fillip.core.errors import Refused


class ClaimRefused(Refused):
    """Why an incentive can't be claimed now; `kind` is the stable word for it."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class ClaimableIncentive(Struct, frozen=True):
    """An incentive as far as claiming goes. It is reserved while `reserved_until` is ahead."""

    kind: str
    state: str
    expires_at: datetime | None = None
    reservation_id: str | None = None
    reserved_until: datetime | None = None
    claimed_at: datetime | None = None

    def find_state(self, now: datetime) -> str:
        """granted, reserved, claimed, reversed or expired, as of `now`."""
        if self.state not in ("granted", "delivered"):
            return self.state
        if self.expires_at and self.expires_at <= now:
            return "expired"
        return "reserved" if self.reserved_until and self.reserved_until > now else "granted"


def reserve(incentive: ClaimableIncentive, reservation_id: str, lasts: timedelta, now: datetime) -> ClaimableIncentive:
    """Keep it for one claimer for a time, which ends when the incentive expires at the latest. Raises ClaimRefused."""
    state = _require_live(incentive, now, reservation_id)
    if state == "claimed" or (state == "reserved" and incentive.reservation_id == reservation_id):
        return incentive
    if state == "reserved":
        raise _reserved(incentive)
    until = min(now + lasts, incentive.expires_at or now + lasts)
    return replace(incentive, reservation_id=reservation_id, reserved_until=until)


def confirm(incentive: ClaimableIncentive, reservation_id: str, now: datetime) -> ClaimableIncentive:
    """Claim what was reserved under this name. Raises ClaimRefused."""
    state = _require_live(incentive, now, reservation_id)
    if state == "claimed":
        return incentive
    if incentive.reservation_id != reservation_id:
        raise ClaimRefused("not-reserved", f"it is not reserved as {reservation_id}: reserve it first")
    if state == "granted":
        raise ClaimRefused("reservation-timed-out", f"{reservation_id} has timed out: reserve again, it may be free")
    return _claim(incentive, now)


def release(incentive: ClaimableIncentive, reservation_id: str) -> ClaimableIncentive:
    """Give up a reservation; one that is not there any more needs nothing. Raises ClaimRefused when it was confirmed."""
    if incentive.reservation_id != reservation_id:
        return incentive
    if incentive.state == "claimed":
        raise _claimed(incentive)
    return replace(incentive, reservation_id=None, reserved_until=None)


def claim(incentive: ClaimableIncentive, now: datetime) -> ClaimableIncentive:
    """Claim what nobody has reserved. Raises ClaimRefused."""
    if _require_live(incentive, now, None) == "reserved":
        raise _reserved(incentive)
    return _claim(replace(incentive, reservation_id=None), now)


def _require_live(incentive: ClaimableIncentive, now: datetime, reservation_id: str | None) -> str:
    """Its state: granted, reserved, or claimed by this very reservation."""
    state = incentive.find_state(now)
    if reason := KINDS[incentive.kind].unclaimable:
        raise ClaimRefused("not-claimable", reason)
    if state == "claimed" and (reservation_id is None or incentive.reservation_id != reservation_id):
        raise _claimed(incentive)
    if state in ("reversed", "expired"):
        raise ClaimRefused(state, f"it {'was reversed' if state == 'reversed' else 'has expired'} and can't be claimed")
    return state


def _claim(incentive: ClaimableIncentive, now: datetime) -> ClaimableIncentive:
    return replace(incentive, state="claimed", reserved_until=None, claimed_at=now)


def _claimed(incentive: ClaimableIncentive) -> ClaimRefused:
    when = incentive.claimed_at.isoformat(timespec="seconds") if incentive.claimed_at else "before"
    return ClaimRefused("already-claimed", f"it was claimed already: {when}")


def _reserved(incentive: ClaimableIncentive) -> ClaimRefused:
    until = incentive.reserved_until.isoformat(timespec="seconds") if incentive.reserved_until else ""
    return ClaimRefused("reserved", f"it is reserved until {until}: try again then")
