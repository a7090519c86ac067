"""Events as they stand in the log that workers read, and as they are sent by HTTP to be decided in the same call."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec import json

from fillip.client.api import ApiClient


def encode_events(topic: str, events: Iterable[dict[str, Any]]) -> Iterator[tuple[str, bytes, bytes]]:
    """Each event as (topic, key `tenant:user`, CloudEvents JSON)."""
    for event in events:
        yield topic, f"{event['tenantid']}:{event['subject']}".encode(), json.encode(event)


def decide_events(client: ApiClient, events: Sequence[dict[str, Any]], *, wait_ms: int) -> list[dict[str, Any]]:
    """Send events; what came of each, in their order: `state` is decided, rejected, or pending where the time was over.

    Sent again they are told the same, and have no second effect. Raises CallFailed.
    """
    told: list[dict[str, Any]] = client.post(f"/v1/events?wait={wait_ms}", events)["events"]
    return told
