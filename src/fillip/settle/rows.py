"""Rows of the ledger's tables, named and ordered as the columns that the statements of settle take.

Each is made by names, so that no two columns can be swapped in silence. What is `fresh` was missing under the lock.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from uuid import UUID

from msgspec import Struct, json
from msgspec.structs import replace

from fillip.core.event import Event, Rejection
from fillip.core.identity import identify
from fillip.core.ledger.settlement import Settled
from fillip.rows.columns import Columns
from fillip.settle.reversal import read_pending_reversal


class _RewardValue(Struct, gc=False, omit_defaults=True):
    """`wanted` is set where a limit gave what was left of it."""

    kind: str
    value: int
    currency: str | None
    wanted: int | None = None


class EventRow(Struct, frozen=True, gc=False):
    """Of event_met; `fingerprint` None: a reversal names it, and it has not come."""

    tenant_id: str
    event_key: UUID
    event_id: str
    event_source: str
    fingerprint: bytes | None
    user_id: str
    action: str
    occurred_at: datetime
    received_at: datetime
    attributes: str
    partition: int
    log_offset: int


class InboxHeadRow(Struct, frozen=True, gc=False):
    """Of inbox_head: the last number given out."""

    tenant_id: str
    user_id: str
    last_seq: int
    fresh: bool


class CounterRow(Struct, frozen=True, gc=False):
    """Of limit_counter; `cap` is the limit's."""

    tenant_id: str
    limit_id: str
    user_id: str
    key: str
    window_start: date
    used: int
    cap: int
    version: int
    fresh: bool


class PartRow(Struct, frozen=True, gc=False):
    """Of limit_part."""

    tenant_id: str
    limit_id: str
    user_id: str
    key: str
    window_start: date
    part: int
    used: int


class BadgeRow(Struct, frozen=True, gc=False):
    """Of badge_held."""

    tenant_id: str
    user_id: str
    badge_id: str
    incentive_id: UUID
    held_at: datetime


class RejectionRow(Struct, frozen=True, gc=False):
    """Of rejection."""

    rejection_id: UUID
    tenant_id: str | None
    topic: str
    partition: int
    log_offset: int
    reason: str
    detail: str
    event_id: str | None
    event_source: str | None
    original: bytes
    received_at: datetime
    generation: int


def write_event(event: Event, fingerprint: bytes | None) -> EventRow:
    """The row of an event that has come."""
    return EventRow(
        tenant_id=event.tenant_id,
        event_key=event.key,
        event_id=event.event_id,
        event_source=event.source,
        fingerprint=fingerprint,
        user_id=event.user_id,
        action=event.action,
        occurred_at=event.occurred_at,
        received_at=event.received_at,
        attributes=_encode(event.attributes),
        partition=event.place.partition,
        log_offset=event.place.offset,
    )


def write_awaited(reversal: Event) -> EventRow:
    """The row of an event that is not known: all but its name is the reversal's that waits for it."""
    pending = read_pending_reversal(reversal)
    return replace(
        write_event(reversal, None),
        event_key=pending.original[1],
        event_id=pending.request.event_id,
        event_source=pending.original_source,
        action="",
        attributes="{}",
    )


def list_decisions(settled: Sequence[Settled]) -> Columns:
    """Of decision; `reward_values` is empty where it is denied, but for what a shadow would have given."""
    decisions, requests = [each.decision for each in settled], [each.request for each in settled]
    versions, matches = [each.campaign_version for each in requests], [each.match for each in requests]
    events = [match.event for match in matches]
    return {
        "tenant_id": [event.tenant_id for event in events],
        "decision_id": [decision.decision_id for decision in decisions],
        "campaign_id": [version.campaign_id for version in versions],
        "campaign_version": [version.version for version in versions],
        "event_key": [event.key for event in events],
        "event_id": [event.event_id for event in events],
        "event_source": [event.source for event in events],
        "user_id": [event.user_id for event in events],
        "instance": [request.instance for request in requests],
        "outcome": [decision.outcome for decision in decisions],
        "reason": [decision.reason for decision in decisions],
        "outranked_by": [decision.outranked_by for decision in decisions],
        "occurred_at": [event.occurred_at for event in events],
        "local_day": [decision.local_day for decision in decisions],
        "reward_values": [_encode(_list_values(each)) for each in settled],
        "limits": [_encode(decision.uses) for decision in decisions],
        "book_version": [event.book.version for event in events],
        "user_attributes": [None if match.user is None else _encode(match.user) for match in matches],
        "cohorts": [_encode(match.cohorts) for match in matches],
        "partition": [event.place.partition for event in events],
        "log_offset": [event.place.offset for event in events],
        "decided_at": [decision.decided_at for decision in decisions],
        "user_revision": [match.user_revision for match in matches],
        "variant": [request.variant for request in requests],
        "shadow": [version.is_shadow for version in versions],
    }


def list_incentives(settled: Sequence[Settled], taken_at: datetime) -> Columns:
    """Of incentive, and of inbox: what these decisions granted; `taken_at` is when the worker took the batch."""
    granted = [(each, made) for each in settled for made in each.incentives]
    incentives, decisions = [made for _, made in granted], [each.decision for each, _ in granted]
    requests, events = [each.request for each, _ in granted], [each.request.match.event for each, _ in granted]
    versions = [request.campaign_version for request in requests]
    rewards = [each.request.campaign_version.campaign.rewards[made.reward_index] for each, made in granted]
    placed = list(zip(rewards, events, strict=True))
    return {
        "tenant_id": [event.tenant_id for event in events],
        "incentive_id": [made.incentive_id for made in incentives],
        "decision_id": [decision.decision_id for decision in decisions],
        "campaign_id": [version.campaign_id for version in versions],
        "user_id": [event.user_id for event in events],
        "event_id": [event.event_id for event in events],
        "event_source": [event.source for event in events],
        "reward_index": [made.reward_index for made in incentives],
        "kind": [reward.kind for reward in rewards],
        "value": [each.request.values[made.reward_index] for each, made in granted],
        "currency": [reward.currency for reward in rewards],
        "payload": [None if reward.payload is None else _encode(reward.payload) for reward in rewards],
        "inbox_seq": [made.inbox_seq for made in incentives],
        "occurred_at": [event.occurred_at for event in events],
        "received_at": [event.received_at for event in events],
        "taken_at": [taken_at] * len(granted),
        "granted_at": [decision.decided_at for decision in decisions],
        "coupon_code": [each.codes.get(made.reward_index) for each, made in granted],
        "expires_at": [reward.expire_at(e.occurred_at, e.book.tenant, e.user_time_zone) for reward, e in placed],
        "variant": [request.variant for request in requests],
    }


def write_badges(settled: Settled) -> Iterator[BadgeRow]:
    """The rows of the badges that a decision granted."""
    for made in settled.incentives:
        if badge := settled.request.campaign_version.campaign.rewards[made.reward_index].badge:
            tenant_id, user_id = settled.request.user
            yield BadgeRow(
                tenant_id=tenant_id,
                user_id=user_id,
                badge_id=badge,
                incentive_id=made.incentive_id,
                held_at=settled.decision.decided_at,
            )


def write_rejection(rejection: Rejection, generation: int) -> RejectionRow:
    """The row of a rejection; its id is of its place in the log, in this `generation` of the topic."""
    place = rejection.place
    return RejectionRow(
        rejection_id=identify("rejection", place.topic, str(place.partition), str(generation), str(place.offset)),
        tenant_id=rejection.tenant_id,
        topic=place.topic,
        partition=place.partition,
        log_offset=place.offset,
        reason=rejection.reason,
        detail=rejection.detail,
        event_id=rejection.event_id,
        event_source=rejection.event_source,
        original=rejection.original,
        received_at=rejection.received_at,
        generation=generation,
    )


def _list_values(settled: Settled) -> list[_RewardValue]:
    if settled.decision.reason not in ("granted", "shadow"):
        return []
    values, rewards = settled.request.values, settled.request.rewards
    wanted = settled.request.wanted_values or values
    return [
        _RewardValue(reward.kind, value, reward.currency, wanted[index] if wanted[index] != value else None)
        for index, reward in rewards.items()
        for value in (values[index],)
    ]


def _encode(value: object) -> str:
    return json.encode(value).decode()
