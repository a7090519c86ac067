"""What changes, as it is announced: of each key one row stands, the newest, and takes over what its change did not carry."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct
from msgspec.structs import replace

from fillip.analyse.clickhouse.fact_row import Amount, Count, FactRow, Instant, Told, count_days, count_us, find_us
from fillip.analyse.facts import UNKNOWN_STEPS, Aside, describe_aside
from fillip.core.identity import identify
from fillip.stream.belt import Record

HOUR_US = 3_600_000_000
MOST = 2**63 - 1
Announcement = tuple[FactRow, Told, Record]


class Claim(Struct, frozen=True):
    """An incentive that has changed; it may have been claimed."""

    tenant_id: str | None = None
    incentive_id: UUID | None = None
    state: str | None = None
    claimed_at: Instant | None = None

    def write(self, _: Told, /) -> FactRow | None:
        """The row of the claim."""
        if self.claimed_at is None and self.state != "claimed":
            return None
        return _write_instant("claim", self.tenant_id, self.incentive_id, self.claimed_at)


class Ack(Struct, frozen=True):
    """An entry of an inbox that has changed; the user's client may have acknowledged it."""

    tenant_id: str | None = None
    incentive_id: UUID | None = None
    kind: str | None = None
    acked_at: Instant | None = None

    def write(self, _: Told, /) -> FactRow | None:
        """The row of the acknowledgement."""
        if self.kind != "granted" or self.acked_at is None:
            return None
        return _write_instant("ack", self.tenant_id, self.incentive_id, self.acked_at)


class Step(Struct, frozen=True):
    """How far a step of a quest is."""

    name: str
    done: Amount
    needed: Amount
    met_at: Instant | None = None


class Instance(Struct, frozen=True):
    """An instance of a quest as it stands; a change that leaves long steps as they were does not carry them."""

    tenant_id: str
    campaign_id: str
    user_id: str
    instance_key: str
    occurrence: int
    campaign_version: Annotated[int, Meta(ge=-(2**31), lt=2**31)]
    state: str
    started_at: Instant
    revision: Count
    ends_at: Instant | None = None
    steps: list[Step] | None = None

    def write(self, _: Told, /) -> FactRow:
        """The row; without steps, where they are those of the state before."""
        steps = None
        if self.steps is not None:
            steps = [(step.name, step.done, step.needed, find_us(step.met_at)) for step in self.steps]
        return FactRow(
            kind="quest",
            tenant_id=self.tenant_id,
            campaign_id=self.campaign_id,
            day=count_days(self.started_at.astimezone(UTC).date()),
            id=identify(
                "quest", self.tenant_id, self.campaign_id, self.user_id, self.instance_key, str(self.occurrence)
            ),
            user_id=self.user_id,
            campaign_version=self.campaign_version,
            state=self.state,
            made_us=count_us(self.started_at),
            ends_us=find_us(self.ends_at),
            revision=self.revision,
            steps=steps,
        )


class Counter(Struct, frozen=True):
    """A counter of a limit as it stands; of one that users share `user_id` is empty."""

    tenant_id: str
    limit_id: str
    key: str
    window_start: date
    used: Amount
    version: Count
    user_id: str | None = None

    def write(self, told: Told, /) -> FactRow | None:
        """The row; none of a counter that is one user's."""
        if self.user_id:
            return None
        day = count_days(self.window_start)
        return FactRow(
            kind="counter",
            tenant_id=self.tenant_id,
            limit_id=self.limit_id,
            day=day,
            id=identify("counter", self.tenant_id, self.limit_id, self.key, str(day)),
            key=self.key,
            amount=self.used,
            revision=self.version,
        )


def list_missing(announcements: Sequence[Announcement]) -> Iterator[FactRow]:
    """Of these rows it has to be known how they stand, before they can be folded: only their keys tell."""
    for row, told, record in announcements:
        if row.steps is None:
            yield row
        elif row.kind == "counter":
            yield row
            yield _begin_hour(row, told, record.partition)


def fold(
    announcements: Sequence[Announcement], known: Mapping[UUID, FactRow]
) -> tuple[Mapping[UUID, tuple[FactRow, int]], list[Aside]]:
    """How rows stand after the announcements (log order), each with the partition of the last; and what can't be known.

    `known` is how those of `list_missing` stand before.
    """
    standing: dict[UUID, tuple[FactRow, int]] = {}
    asides: list[Aside] = []
    for row, told, record in announcements:
        before = standing[row.id][0] if row.id in standing else known.get(row.id)
        if before is not None and before.revision and row.revision <= before.revision:
            continue
        if row.steps is None:
            if before is None:
                asides.append(describe_aside(record, ValueError(UNKNOWN_STEPS)))
                continue
            row = replace(row, steps=before.steps)
        if row.kind == "counter":
            unknown = 0 if told.op == "c" else row.amount  # what was used before the first that is known
            hour = _begin_hour(row, told, record.partition)
            used = standing[hour.id][0].amount if hour.id in standing else known.get(hour.id, hour).amount
            used += row.amount - (unknown if before is None else before.amount)
            standing[hour.id] = replace(hour, amount=max(-MOST, min(used, MOST))), record.partition
        standing[row.id] = row, record.partition
    return standing, asides


def _write_instant(kind: str, tenant_id: str | None, incentive_id: UUID | None, at: Instant | None) -> FactRow:
    if tenant_id is None or incentive_id is None or at is None:
        raise ValueError("tenant_id, incentive_id and when it was are needed")
    day = count_days(at.astimezone(UTC).date())
    return FactRow(
        kind=kind, tenant_id=tenant_id, day=day, id=incentive_id, incentive_id=incentive_id, made_us=count_us(at)
    )


def _begin_hour(counter: FactRow, told: Told, partition: int) -> FactRow:
    """The row of the hour in which a counter changed."""
    hour_us = told.committed_us // HOUR_US * HOUR_US
    place = f"{hour_us} {partition}"
    return FactRow(
        kind="use",
        tenant_id=counter.tenant_id,
        limit_id=counter.limit_id,
        day=hour_us // (24 * HOUR_US),
        id=identify("use", counter.tenant_id, counter.limit_id, counter.key, place),
        key=counter.key,
        made_us=hour_us,
    )
