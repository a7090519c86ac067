"""Step 5, WAL → topics: announces what was stored, and nothing else; mirrors limit counters into Valkey."""

from fillip.publish.duty import Duty
from fillip.publish.run import publish

__all__ = ["Duty", "publish"]
