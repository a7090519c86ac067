"""Step 1, bytes → Event: decode, validate, coerce; the topic door and the HTTP door."""

from fillip.ingest.stage import Ingest

__all__ = ["Ingest"]
