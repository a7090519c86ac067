"""Events as they stand in the log that workers read."""

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import json


def encode_events(topic: str, events: Iterable[dict[str, Any]]) -> Iterator[tuple[str, bytes, bytes]]:
    """Each event as (topic, key `tenant:user`, CloudEvents JSON)."""
    for event in events:
        yield topic, f"{event['tenantid']}:{event['subject']}".encode(), json.encode(event)
