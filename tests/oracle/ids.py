"""Ids as they have to be: functions of what they are of alone, so that what is decided again is known again."""

from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

SQL = Path(__file__).with_suffix(".sql").read_text()


def find_strange_ids(connection: psycopg.Connection[Any], tenant_id: str, renamed: Collection[str]) -> list[str]:
    """Decisions and incentives of a tenant whose id is not that of (tenant, campaign, instance, event) and reward; `renamed` are decisions
    that a merge has given another name since: they are of the one before.
    """
    rows = connection.execute(SQL, {"tenant": tenant_id})
    return [
        f"{found} is not the id of {parts}"
        for found, parts in rows
        if found != hash_parts(parts) and found not in renamed
    ]


def name_event(source: str, event_id: str) -> str:
    """What tells an event apart: source and id together."""
    return f"{source} {event_id}"


def hash_parts(parts: list[str]) -> str:
    """BLAKE2b over each part with its length before it, as a UUID of version 8 (RFC 9562)."""
    said = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
    number = int.from_bytes(blake2b(said, digest_size=16).digest(), "big")
    return str(UUID(int=number & ~(0xF << 76 | 0x3 << 62) | 0x8 << 76 | 0x2 << 62))


def draw_variant(variants: Sequence[Mapping[str, Any]], tenant_id: str, campaign_id: str, user_id: str) -> str:
    """The variant of a user: of 2^32 hashes each has its percentage, one behind the other."""
    place = UUID(hash_parts(["variant", tenant_id, campaign_id, user_id])).int % 2**32
    for behind in range(len(variants) - 1, 0, -1):
        if place * 100 >= sum(each["percent"] for each in variants[:behind]) * 2**32:
            return str(variants[behind]["variant_id"])
    return str(variants[0]["variant_id"])


def is_held_out(tenant_id: str, user_id: str, percent: int) -> bool:
    """Whether a user is in a holdout of so many percent: the lowest 32 bits of the hash, as a share of 2^32, lie below it."""
    return UUID(hash_parts(["holdout", tenant_id, user_id])).int % 2**32 * 100 < percent * 2**32
