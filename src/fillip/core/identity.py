"""Ids that are functions of what they are of, so that what comes again, or is decided again, is known again."""

from hashlib import blake2b
from uuid import UUID

OF_SHADOW = "~"
"""What tells the instances of a shadow from all others, in the name of whose they are."""


def identify(*parts: str) -> UUID:
    """A UUID (version 8, RFC 9562) that is a function of `parts` alone: BLAKE2b over their length-prefixed UTF-8."""
    digest = blake2b(digest_size=16)
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(4, "big") + data)
    raw = bytearray(digest.digest())
    raw[6] = (raw[6] & 0x0F) | 0x80
    raw[8] = (raw[8] & 0x3F) | 0x80
    return UUID(bytes=bytes(raw))


def identify_event(tenant_id: str, source: str, event_id: str) -> UUID:
    """The key of an event: what tells a tenant's events apart is source and id together, as CloudEvents says."""
    return identify("event", tenant_id, source, event_id)


def name_shadow(campaign_id: str, version: int) -> str:
    """Whose the quest instances of a campaign's version in shadow are: no campaign has such an id, since none has a `~`."""
    return f"{campaign_id}{OF_SHADOW}{version}"


def name_key(event_id: str, event_key: UUID) -> str:
    """The key of an instance that belongs to one event: its id for people, and what tells it from another source's."""
    return f"{event_id}@{event_key.hex}"


def name_instance(key: str, occurrence: int) -> str:
    """What an instance is called: the occurrence, after the key where there is one. No two of a quest share a name."""
    return f"{key}#{occurrence}" if key else str(occurrence)
