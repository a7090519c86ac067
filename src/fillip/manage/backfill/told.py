"""What the process of a backfill tells at its end."""

from typing import TypeAlias

from msgspec import Struct


class AllDone(Struct, frozen=True, tag="done"):
    """All of the past is decided."""


class GoesOn(Struct, frozen=True, tag="goes_on"):
    """Its turn is over, and there is more."""


class Waits(Struct, frozen=True, tag="waits"):
    """It can't go on now; what was decided stays."""

    why: str


class BackfillFailed(Struct, frozen=True, tag="failed"):
    """It can't go on at all."""

    why: str


BackfillTold: TypeAlias = AllDone | GoesOn | Waits | BackfillFailed
