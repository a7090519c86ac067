"""Rows of the ledger's tables, as the statements of settle take them."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from msgspec import json

from fillip.core.event import Event, Rejection
from fillip.core.identity import identify
from fillip.core.ledger.settlement import GrantRequest, Settled
from fillip.core.limit import Counter, CounterKey
from fillip.settle.pins import Pin
from fillip.settle.reversal import read_pending_reversal
from fillip.stream.belt import Batch


def _encode(value: object) -> str | None:
    return None if value is None else json.encode(value).decode()


def write_event(event: Event, said: bytes) -> tuple[object, ...]:
    """Of event_met."""
    place, attributes = event.place, _encode(event.attributes)
    who = (event.tenant_id, event.key, event.event_id, event.source, said, event.user_id, event.action)
    return (*who, event.occurred_at, event.received_at, attributes, place.partition, place.offset)


def write_awaited(reversal: Event) -> tuple[object, ...]:
    """The row of an event that is not known: without a fingerprint, the rest is the reversal's that waits for it."""
    place, pending = reversal.place, read_pending_reversal(reversal)
    when = (reversal.occurred_at, reversal.received_at)
    name = (*pending.original, pending.order.event_id, pending.original_source)
    return (*name, None, reversal.user_id, "", *when, "{}", place.partition, place.offset)


def write_decision(settled: Settled) -> tuple[object, ...]:
    """Of decision."""
    request, decision = settled.request, settled.decision
    match, event = request.match, request.match.event
    rewards = _list_rewards(request) if decision.outcome == "granted" else []
    return (
        event.tenant_id,
        decision.decision_id,
        request.campaign_version.campaign_id,
        request.campaign_version.version,
        event.key,
        event.event_id,
        event.source,
        event.user_id,
        request.instance,
        decision.outcome,
        decision.reason,
        decision.outranked_by,
        event.occurred_at,
        decision.local_day,
        _encode(rewards),
        _encode(decision.uses),
        event.book.version,
        _encode(match.user),
        _encode(match.cohorts),
        event.place.partition,
        event.place.offset,
        decision.decided_at,
    )


def _list_rewards(request: GrantRequest) -> list[dict[str, object]]:
    given = zip(request.campaign_version.campaign.rewards, request.values, strict=True)
    return [{"kind": reward.kind, "value": value, "currency": reward.currency} for reward, value in given]


def write_incentives(settled: Settled, batch: Batch) -> Iterable[tuple[object, ...]]:
    """Of incentive."""
    request, decision, event = settled.request, settled.decision, settled.request.match.event
    for incentive_id, index, seq in settled.incentives:
        reward = request.campaign_version.campaign.rewards[index]
        yield (
            event.tenant_id,
            incentive_id,
            decision.decision_id,
            request.campaign_version.campaign_id,
            event.user_id,
            event.event_id,
            event.source,
            index,
            reward.kind,
            request.values[index],
            reward.currency,
            _encode(reward.payload),
            seq,
            event.occurred_at,
            event.received_at,
            batch.taken_at,
            decision.decided_at,
            settled.codes.get(index),
            reward.expire_at(event.occurred_at, event.book.tenant.clock),
        )


def write_given(settled: Settled) -> Iterable[tuple[str, str, UUID, str | None, str | None, datetime]]:
    """(tenant, user, incentive, code, badge, when) of what a claim gives out of a pool or puts on a shelf."""
    for incentive_id, index, _ in settled.incentives:
        code, badge = settled.codes.get(index), settled.request.campaign_version.campaign.rewards[index].badge
        if code or badge:
            yield *settled.request.user, incentive_id, code, badge, settled.decision.decided_at


def write_counter(key: CounterKey, counter: Counter, cap: int, fresh: bool) -> tuple[object, ...]:
    """Of limit_counter; `fresh` where it was missing under the lock."""
    name = (key.tenant_id, key.limit_id, key.user_id, key.key, key.window_start)
    return (*name, counter.used, cap, counter.version, fresh)


def write_rejection(rejection: Rejection, generation: int) -> tuple[object, ...]:
    """Of rejection."""
    place = rejection.place
    number = identify("rejection", place.topic, str(place.partition), str(generation), str(place.offset))
    why = (rejection.reason, rejection.detail, rejection.event_id, rejection.event_source)
    what = (*why, rejection.original, rejection.received_at)
    return (number, rejection.tenant_id, place.topic, place.partition, place.offset, *what, generation)


def write_pin(pin: Pin) -> tuple[object, ...]:
    """Of book_pin."""
    return (pin.tenant_id, pin.topic, pin.partition, pin.from_offset, pin.book_version, pin.generation)
