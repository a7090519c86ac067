"""What Fillip's own processes ask of analyse: to erase a user from what it holds."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

PATH = "/internal/erasures"
MOST_REJECTIONS = 5_000


class ErasureOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """Write `pseudonym` and `salt`ed hashes for what happened until `cut_at`, and drop what was sent; `rejections` are the user's.

    `ends` are the offsets, by topic and partition, up to which everything must be loaded before.
    """

    tenant_id: Annotated[str, Meta(min_length=1, max_length=63)]
    user_id: Annotated[str, Meta(min_length=1, max_length=256)]
    pseudonym: Annotated[str, Meta(pattern="^erased-[0-9a-f]{32}$")]
    salt: UUID
    cut_at: Annotated[datetime, Meta(tz=True)]
    ends: dict[str, dict[int, int]]
    rejections: Annotated[list[UUID], Meta(max_length=MOST_REJECTIONS)] = []


class ErasureOutcome(Struct, frozen=True):
    """Whether nothing of the user is left; `pending` says what it waits for else."""

    done: bool
    pending: str = ""
