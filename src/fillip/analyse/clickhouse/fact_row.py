"""A row of table fact."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Protocol
from uuid import UUID

from msgspec import Meta, Struct

from fillip.core.instant import MIN_TIME

NOBODY = UUID(int=0)
FIRST_DAY = MIN_TIME.date()
MICROSECOND = timedelta(microseconds=1)

Amount = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Instant = Annotated[datetime, Meta(tz=True)]


class FactRow(Struct, frozen=True):
    """A row as schema.sql has it; what its kind does not know is left empty.

    `steps` are None where an announcement did not carry them: such a row is not stored.
    """

    kind: str
    tenant_id: str = ""
    campaign_id: str = ""
    currency: str = ""
    limit_id: str = ""
    day: int = 0
    id: UUID = NOBODY
    load: int = 0
    number: int = 0
    version: int = 0
    partition: int = 0
    decision_id: UUID = NOBODY
    user_id: str = ""
    outcome: str = ""
    reason: str = ""
    variant: str | None = None
    occurred_us: int | None = None
    decided_us: int | None = None
    of_quest: bool | None = None
    shadow: bool = False
    rewards: Sequence[tuple[str, str | None, int]] = ()
    movement: str = ""
    debit: str = ""
    credit: str = ""
    amount: int = 0
    made_us: int = 0
    incentive_id: UUID = NOBODY
    received_us: int | None = None
    committed_us: int | None = None
    claimed_us: int | None = None
    ends_us: int | None = None
    revision: int = 0
    campaign_version: int = 0
    steps: Sequence[tuple[str, int, int, int | None]] | None = ()
    key: str = ""
    scope: str = ""
    measure: str = ""
    span: str = ""
    split: bool = False
    deleted: bool = False
    time_zone: str = ""
    state: str = ""
    lots: Sequence[tuple[int | None, int]] = ()
    week_starts_on: str = ""


class Told(Struct, frozen=True):
    """How a row was announced: `op` as in the contract, and when PostgreSQL committed it, in microseconds."""

    op: str
    committed_us: int


class Announced(Protocol):
    """A row of the ledger, as its announcement has it."""

    def write(self, told: Told, /) -> FactRow | None:
        """The row of table fact; None where it tells of nothing that is counted."""
        ...


def count_days(day: date) -> int:
    """From 1970-01-01."""
    return (day - FIRST_DAY).days


def count_us(instant: datetime) -> int:
    """From 1970-01-01 UTC."""
    return (instant - MIN_TIME) // MICROSECOND


def find_us(instant: datetime | None) -> int | None:
    """The same, of what may be unknown."""
    return None if instant is None else count_us(instant)
