"""Taking back what an event earned: a part of settle with its own reads and writes."""

from fillip.settle.reversal.batch import BatchState, ReversalBatch
from fillip.settle.reversal.stage import (
    EventKey,
    RecordedEvent,
    ReversalContext,
    Reversals,
    SettledReversal,
    look_up,
    note_short,
    read_pending_reversal,
)

__all__ = [
    "BatchState",
    "EventKey",
    "RecordedEvent",
    "ReversalBatch",
    "ReversalContext",
    "Reversals",
    "SettledReversal",
    "look_up",
    "note_short",
    "read_pending_reversal",
]
