"""Ids that are functions of what they are of, so that what comes again, or is decided again, is known again."""

from functools import lru_cache
from hashlib import blake2b
from uuid import UUID, SafeUUID

_VERSION_8 = 0x8 << 76 | 0x8 << 60
"""The bits of a UUID that say its version and variant."""
_OPEN_BITS = ~(0xF << 76 | 0xC << 60)
_UNKNOWN = SafeUUID.unknown  # to find it in its enum takes as long as to make an id's bits
OF_SHADOW = "~"
"""What tells the instances of a shadow from all others, in the name of whose they are."""


def identify(*parts: str) -> UUID:
    """A UUID (version 8, RFC 9562) that is a function of `parts` alone: BLAKE2b over their length-prefixed UTF-8."""
    return _read_id(_hash(b"".join(map(_frame, parts))))


def identify_event(tenant_id: str, source: str, event_id: str) -> UUID:
    """The key of an event: what tells a tenant's events apart is source and id together, as CloudEvents says."""
    digest = _begin_event(tenant_id, source).copy()
    digest.update(_frame(event_id))
    return _read_id(digest)


@lru_cache(maxsize=1024)
def _begin_event(tenant_id: str, source: str) -> blake2b:
    """What the keys of a source's events have in common: there are few sources, and every event has a key."""
    return _hash(b"".join(map(_frame, ("event", tenant_id, source))))


def _hash(data: bytes) -> blake2b:
    return blake2b(data, digest_size=16)


def _frame(part: str) -> bytes:
    data = part.encode()
    return len(data).to_bytes(4, "big") + data


def _read_id(digest: blake2b) -> UUID:
    made = UUID.__new__(UUID)  # its __init__ looks through all the ways to make one, and takes three times as long
    object.__setattr__(made, "int", int.from_bytes(digest.digest(), "big") & _OPEN_BITS | _VERSION_8)
    object.__setattr__(made, "is_safe", _UNKNOWN)
    return made


def name_shadow(campaign_id: str, version: int) -> str:
    """Whose the quest instances of a campaign's version in shadow are: no campaign has such an id, since none has a `~`."""
    return f"{campaign_id}{OF_SHADOW}{version}"


def name_key(event_id: str, event_key: UUID) -> str:
    """The key of an instance that belongs to one event: its id for people, and what tells it from another source's."""
    return f"{event_id}@{event_key.hex}"


def name_instance(key: str, occurrence: int) -> str:
    """What an instance is called: the occurrence, after the key where there is one. No two of a quest share a name."""
    return f"{key}#{occurrence}" if key else str(occurrence)
