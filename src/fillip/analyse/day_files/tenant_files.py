"""The files in which a tenant's rows stand for SQL, and who lends them."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from typing import Protocol

from msgspec import Struct

KINDS = {
    "events": "event_row",
    "decisions": "decision_row",
    "incentives": "incentive_row",
    "incentive_reversals": "reversal_row",
    "rejections": "rejection_row",
}
"""What SQL can read, and the table of its rows that stand in no day file yet."""


class FileGroup(Struct, frozen=True):
    """Parquet files of one kind; their rows of the `void` partitions don't count."""

    paths: Sequence[str]
    void: Sequence[int] = ()


class TenantFiles(Struct, frozen=True):
    """All that is loaded of one tenant at one instant, by kind, and a folder for the answer.

    `struck` is a file with the places of events that don't count. The newest event that is loaded was received at
    `received_at`; of what was announced, the newest was committed at `committed_at`.
    """

    folder: Path
    groups: Mapping[str, Sequence[FileGroup]]
    struck: str | None
    received_at: datetime | None
    committed_at: datetime | None


class FileLender(Protocol):
    """Who owns the rows."""

    def lend(self, tenant_id: str) -> AbstractAsyncContextManager[TenantFiles]:
        """The tenant's files as they are now; they stay for 10 minutes at least. Raises Retry."""
        ...
