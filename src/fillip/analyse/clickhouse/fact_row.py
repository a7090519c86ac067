"""From announcements to rows of table fact."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from fillip.analyse.facts import Aside, Load, describe_aside
from fillip.core.instant import MIN_TIME
from fillip.stream.belt import Record
from fillip.stream.topics import Topics

NOBODY = UUID(int=0)
FIRST_DAY = MIN_TIME.date()
MICROSECOND = timedelta(microseconds=1)
KINDS = ("decision", "reversal", "rejection", "transfer")
"""Of facts that are counted, each from a topic of its own."""

Amount = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Instant = Annotated[datetime, Meta(tz=True)]


class FactRow(Struct, frozen=True):
    """A row as schema.sql has it; what its kind does not know is left empty."""

    kind: str
    tenant_id: str = ""
    campaign_id: str = ""
    currency: str = ""
    day: int = 0
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
    state: str = ""


class _Reward(Struct, frozen=True):
    kind: str
    value: Amount
    currency: str | None = None


class _Decision(Struct, frozen=True):
    tenant_id: str
    decision_id: UUID
    campaign_id: str
    local_day: date
    user_id: str
    outcome: str
    reason: str
    reward_values: list[_Reward]
    variant: str | None = None
    occurred_at: Instant | None = None
    decided_at: Instant | None = None
    instance: str | None = None
    shadow: bool | None = None

    def write(self) -> FactRow:
        """The row."""
        return FactRow(
            kind="decision",
            tenant_id=self.tenant_id,
            campaign_id=self.campaign_id,
            day=count_days(self.local_day),
            decision_id=self.decision_id,
            user_id=self.user_id,
            outcome=self.outcome,
            reason=self.reason,
            variant=self.variant,
            occurred_us=None if self.occurred_at is None else count_us(self.occurred_at),
            decided_us=None if self.decided_at is None else count_us(self.decided_at),
            of_quest=None if self.instance is None else self.instance != "",
            shadow=self.shadow is True,
            rewards=[(reward.kind, reward.currency, reward.value) for reward in self.reward_values],
        )


class _Reversal(Struct, frozen=True):
    tenant_id: str
    decision_id: UUID
    kind: str
    changed_value: Amount
    currency: str | None = None

    def write(self) -> FactRow:
        """The row; `rewards` is what was taken."""
        taken = [(self.kind, self.currency, self.changed_value)]
        return FactRow(kind="reversal", tenant_id=self.tenant_id, decision_id=self.decision_id, rewards=taken)


class _Rejection(Struct, frozen=True):
    rejection_id: UUID
    received_at: Instant
    reason: str
    tenant_id: str | None = None

    def write(self) -> FactRow | None:
        """The row; none of what is nobody's."""
        if self.tenant_id is None:
            return None
        day = count_days(self.received_at.astimezone(UTC).date())
        return FactRow(kind="rejection", tenant_id=self.tenant_id, day=day, reason=self.reason)


class _Transfer(Struct, frozen=True):
    tenant_id: str
    currency: str
    kind: str
    debit: str
    credit: str
    amount: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    made_at: Instant

    def write(self) -> FactRow:
        """The row."""
        return FactRow(
            kind="transfer",
            tenant_id=self.tenant_id,
            currency=self.currency,
            movement=self.kind,
            debit=self.debit,
            credit=self.credit,
            amount=self.amount,
            made_us=count_us(self.made_at),
        )


class _Message(Struct, frozen=True):
    after: msgspec.Raw


Writer = Callable[[Record], FactRow | None]


def list_writers(topics: Topics) -> Mapping[str, tuple[str, Writer]]:
    """The kind of the facts that each topic brings, and what makes a row of a record; it raises for what is none."""
    return {
        topics.decided: ("decision", _make_writer(_Decision)),
        topics.reversed: ("reversal", _make_writer(_Reversal)),
        topics.rejected: ("rejection", _make_writer(_Rejection)),
        topics.moved: ("transfer", _make_writer(_Transfer)),
    }


def write_rows(load: Load, number: int, writers: Mapping[str, tuple[str, Writer]]) -> tuple[list[FactRow], list[Aside]]:
    """The facts and marks of a load of this number, and the records that are none."""
    rows: list[FactRow] = []
    asides: list[Aside] = []
    for topic, records in load.rows.items():
        if topic not in writers:
            continue
        _, write = writers[topic]
        for record in records:
            try:
                row = write(record)
            except Exception as error:  # noqa: BLE001 - foreseen or not: one record does not keep the others out
                asides.append(describe_aside(record, error))
                continue
            if row is not None:
                rows.append(msgspec.structs.replace(row, load=number, number=len(rows), partition=record.partition))
    marks = load.marks.values()
    rows += [FactRow(kind="mark", tenant_id=mark.tenant_id, version=mark.committed_at_us) for mark in marks]
    return rows, asides


def count_days(day: date) -> int:
    """From 1970-01-01."""
    return (day - FIRST_DAY).days


def count_us(instant: datetime) -> int:
    """From 1970-01-01 UTC."""
    return (instant - MIN_TIME) // MICROSECOND


def _make_writer(shape: type[_Decision | _Reversal | _Rejection | _Transfer]) -> Writer:
    outer, inner = msgspec.json.Decoder(_Message), msgspec.json.Decoder(shape)

    def write(record: Record) -> FactRow | None:
        return inner.decode(outer.decode(record.value or b"").after).write()

    return write
