"""What happened once and for all, as it is announced: each announcement is a row for ever."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from uuid import UUID

import msgspec
from msgspec import Struct

from fillip.analyse.clickhouse.fact_row import Amount, Count, FactRow, Instant, Told, count_days, count_us, find_us


class RewardValue(Struct, frozen=True):
    """What a decision gave, or would have given."""

    kind: str
    value: Amount
    currency: str | None = None


class Decision(Struct, frozen=True):
    """A decision."""

    tenant_id: str
    decision_id: UUID
    campaign_id: str
    local_day: date
    user_id: str
    outcome: str
    reason: str
    reward_values: list[RewardValue]
    variant: str | None = None
    occurred_at: Instant | None = None
    decided_at: Instant | None = None
    instance: str | None = None
    shadow: bool | None = None

    def write(self, _: Told, /) -> FactRow:
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
            occurred_us=find_us(self.occurred_at),
            decided_us=find_us(self.decided_at),
            of_quest=None if self.instance is None else self.instance != "",
            shadow=self.shadow is True,
            rewards=[(reward.kind, reward.currency, reward.value) for reward in self.reward_values],
        )


class Reversal(Struct, frozen=True):
    """What was taken of an incentive."""

    tenant_id: str
    decision_id: UUID
    kind: str
    changed_value: Amount
    currency: str | None = None

    def write(self, _: Told, /) -> FactRow:
        """The row; `rewards` is what was taken."""
        taken = [(self.kind, self.currency, self.changed_value)]
        return FactRow(kind="reversal", tenant_id=self.tenant_id, decision_id=self.decision_id, rewards=taken)


class Rejection(Struct, frozen=True):
    """An event that was refused."""

    rejection_id: UUID
    received_at: Instant
    reason: str
    tenant_id: str | None = None

    def write(self, _: Told, /) -> FactRow | None:
        """The row; none of what is nobody's."""
        if self.tenant_id is None:
            return None
        day = count_days(self.received_at.astimezone(UTC).date())
        return FactRow(kind="rejection", tenant_id=self.tenant_id, day=day, reason=self.reason)


class LevelChange(Struct, frozen=True):
    """A user who came from one level of a ladder to another; the row does not say who."""

    tenant_id: str
    currency: str
    direction: str
    from_level: str
    to_level: str
    changed_at: Instant

    def write(self, _: Told, /) -> FactRow:
        """The row."""
        return FactRow(
            kind="level",
            tenant_id=self.tenant_id,
            currency=self.currency,
            movement=self.direction,
            debit=self.from_level,
            credit=self.to_level,
            made_us=count_us(self.changed_at),
        )


class Transfer(Struct, frozen=True):
    """Points from one account to another."""

    tenant_id: str
    currency: str
    kind: str
    debit: str
    credit: str
    amount: Count
    made_at: Instant
    lots: dict[str, Amount] = {}
    expiries: list[Instant | None] | None = None

    def write(self, _: Told, /) -> FactRow:
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
            lots=_write_lots(self.lots, self.expiries),
        )


class Drawn(Struct, frozen=True):
    """What lots gave later for a transfer of points."""

    tenant_id: str
    currency: str
    made_at: Instant
    lots: dict[str, Amount] = {}
    expiries: list[Instant | None] | None = None

    def write(self, _: Told, /) -> FactRow:
        """The row."""
        return FactRow(
            kind="drawn",
            tenant_id=self.tenant_id,
            currency=self.currency,
            made_us=count_us(self.made_at),
            lots=_write_lots(self.lots, self.expiries),
        )


def _write_lots(
    lots: Mapping[str, int], expiries: Sequence[datetime | None] | None
) -> Sequence[tuple[int | None, int]]:
    """When each lot expires, and what was changed of it; both are told in the same order. Without `expiries` none does."""
    instants = [None] * len(lots) if expiries is None else expiries
    return [(find_us(expires_at), change) for expires_at, change in zip(instants, lots.values(), strict=True)]


class Grant(Struct, frozen=True):
    """An incentive, as it was granted; `claimed_at` is known of one that a snapshot brought."""

    tenant_id: str
    incentive_id: UUID
    campaign_id: str
    granted_at: Instant
    occurred_at: Instant | None = None
    received_at: Instant | None = None
    claimed_at: Instant | None = None

    def write(self, told: Told, /) -> FactRow:
        """The row; when one from a snapshot was committed is not known."""
        return FactRow(
            kind="grant",
            tenant_id=self.tenant_id,
            campaign_id=self.campaign_id,
            day=count_days(self.granted_at.astimezone(UTC).date()),
            incentive_id=self.incentive_id,
            made_us=count_us(self.granted_at),
            occurred_us=find_us(self.occurred_at),
            received_us=find_us(self.received_at),
            committed_us=told.committed_us if told.op == "c" else None,
            claimed_us=find_us(self.claimed_at),
        )


class LimitDocument(Struct, frozen=True):
    """What reports need of a limit; of one that was deleted only that."""

    deleted: bool = False
    scope: str | None = None
    measure: str | None = None
    span: str | None = None
    week_starts_on: str | None = None
    key: object = None
    cap: Count | None = None


class TenantDocument(Struct, frozen=True):
    """What reports need of a tenant."""

    time_zone: str


class BookChange(Struct, frozen=True):
    """A change of a tenant's book; the newest of an object counts."""

    tenant_id: str
    book_version: Count
    kind: str
    object_id: str
    document: msgspec.Raw

    def write(self, _: Told, /) -> FactRow | None:
        """The row of a limit, or of a tenant's time zone."""
        if self.kind == "limit":
            limit = msgspec.json.decode(self.document, type=LimitDocument)
            return FactRow(
                kind="limit",
                tenant_id=self.tenant_id,
                limit_id=self.object_id,
                revision=self.book_version,
                deleted=limit.deleted,
                scope=limit.scope or "",
                measure=limit.measure or "",
                span=limit.span or "",
                week_starts_on=limit.week_starts_on or "",
                split=limit.key is not None,
                amount=limit.cap or 0,
            )
        if self.kind == "tenant":
            zone = msgspec.json.decode(self.document, type=TenantDocument).time_zone
            return FactRow(kind="zone", tenant_id=self.tenant_id, revision=self.book_version, time_zone=zone)
        return None
