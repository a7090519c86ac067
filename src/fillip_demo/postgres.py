"""What the demo reads of the ledger: progress while events flow, and the truth for its checks."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from types import TracebackType

import asyncpg
from msgspec import Struct


class Progress(Struct, frozen=True):
    """How far the steps after Kafka are; `wal_bytes` only grows."""

    settled: int
    unannounced_bytes: int
    wal_bytes: int


class Outcomes(Struct, frozen=True):
    """Decisions of one campaign with one outcome; `value` was granted by them, in minor units or points."""

    campaign_id: str
    outcome: str
    reason: str
    decisions: int
    value: int


class CampaignDay(Struct, frozen=True):
    """One campaign's day in the tenant's zone: decisions, value granted (minor units or points), users granted to."""

    granted: int
    denied: int
    value: int
    unique_users: int


class Use(Struct, frozen=True):
    """One limit counter."""

    limit_id: str
    user_id: str
    key: str
    window_start: date
    used: int
    version: int


class Ledger:
    """One connection as the schema's owner, who sees every tenant. Used by one task at a time."""

    def __init__(self, dsn: str, topic: str) -> None:
        """`topic` is the one that workers settle."""
        self._dsn = dsn
        self._topic = topic

    async def __aenter__(self) -> "Ledger":
        self._connection: asyncpg.Connection = await asyncpg.connect(self._dsn)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close(timeout=5)

    async def read_progress(self) -> Progress:
        """How far settle and publish are."""
        (row,) = await self._connection.fetch(_sql("progress"), self._topic)
        return Progress(row["settled"], row["unannounced_bytes"] or 0, row["wal_bytes"])

    async def count_outcomes(self, tenant_id: str) -> list[Outcomes]:
        """All decisions of a tenant by campaign, outcome and reason."""
        return [Outcomes(*row) for row in await self._connection.fetch(_sql("decisions"), tenant_id)]

    async def read_campaign_days(self, tenant_id: str) -> dict[tuple[str, str], CampaignDay]:
        """Decisions by (day, campaign)."""
        rows = await self._connection.fetch(_sql("campaign_days"), tenant_id)
        return {(day, campaign_id): CampaignDay(*numbers) for day, campaign_id, *numbers in rows}

    async def count_instances(self, tenant_id: str) -> dict[str, int]:
        """Quest instances by state."""
        rows = await self._connection.fetch(_sql("instances"), tenant_id)
        return {row["state"]: row["instances"] for row in rows}

    async def read_inboxes(self, tenant_id: str, user_ids: Sequence[str]) -> dict[str, list[tuple[int, str]]]:
        """(seq, incentive id) of each user's inbox, in order."""
        inboxes: dict[str, list[tuple[int, str]]] = {user_id: [] for user_id in user_ids}
        for row in await self._connection.fetch(_sql("inboxes"), tenant_id, list(user_ids)):
            inboxes[row["user_id"]].append((row["seq"], row["incentive_id"]))
        return inboxes

    async def count_acked(self, tenant_id: str, user_ids: Sequence[str]) -> int:
        """Inbox entries of these users that were acknowledged."""
        return int(await self._connection.fetchval(_sql("acked"), tenant_id, list(user_ids)))

    async def read_counters(self, tenant_id: str) -> list[Use]:
        """All limit counters of a tenant."""
        return [Use(*row) for row in await self._connection.fetch(_sql("counters"), tenant_id)]

    async def tidy_up(self) -> None:
        """What an operator runs after a bulk import, so that autovacuum and a checkpoint don't come amid live traffic."""
        await self._connection.execute("VACUUM (ANALYZE)")
        await self._connection.execute("CHECKPOINT")

    async def count_doubts(self, tenant_id: str) -> dict[str, int]:
        """What must be 0: miscounted, over_cap, needless, unpaid, gapped, untold, rejected."""
        (row,) = await self._connection.fetch(_sql("doubts"), tenant_id)
        return dict(row)


def _sql(name: str) -> str:
    return Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8")
