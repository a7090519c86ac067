"""Rows of what reversals did, named and ordered as the columns that the statements of settle.reversal take."""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from msgspec import json

from fillip.core.ledger.reversal import TakenLine
from fillip.core.quest.reversal import InstanceReversal
from fillip.rows.columns import Columns
from fillip.settle.reversal.stage import SettledReversal


def list_reversals(reversed_: Sequence[SettledReversal]) -> Columns:
    """Of reversal."""
    everyone = [done.pending for done in reversed_]
    return {
        "tenant_id": [pending.tenant_id for pending in everyone],
        "reversal_key": [pending.key for pending in everyone],
        "reversal_id": [pending.reversal_id for pending in everyone],
        "reversal_source": [pending.source for pending in everyone],
        "event_key": [pending.original[1] for pending in everyone],
        "event_id": [pending.request.event_id for pending in everyone],
        "event_source": [pending.original_source for pending in everyone],
        "user_id": [pending.user_id for pending in everyone],
        "request": [_encode(pending.request) for pending in everyone],
        "state": [done.state for done in reversed_],
        "reason": [done.reason for done in reversed_],
        "incentives": [_encode([taken for _, taken in done.taken]) for done in reversed_],
        "counters": [_encode(done.given) for done in reversed_],
        "quests": [_encode([_describe(undone) for undone in done.instances]) for done in reversed_],
        "share": [None if done.so_far is None else str(done.so_far.share) for done in reversed_],
        "reevaluations": [_list_reevaluations(done) for done in reversed_],
        "occurred_at": [pending.occurred_at for pending in everyone],
        "received_at": [pending.received_at for pending in everyone],
    }


def list_lines(reversed_: Sequence[SettledReversal]) -> Columns:
    """Of reversed_line: each line that these name once, as the last of them left it; shares are fractions as text."""
    last: dict[tuple[str, UUID, str], TakenLine] = {}
    for done in reversed_:
        lines = done.so_far.lines if done.so_far else {}
        last |= {
            (*done.pending.original, name): lines[name]
            for name in sorted(done.pending.request.line_names & lines.keys())
        }
    return {
        "tenant_id": [tenant_id for tenant_id, _, _ in last],
        "event_key": [event_key for _, event_key, _ in last],
        "line": [name for _, _, name in last],
        "share": [str(line.share) for line in last.values()],
        "whole": [None if line.whole is None else str(line.whole) for line in last.values()],
    }


def list_taken(reversed_: Sequence[SettledReversal]) -> Columns:
    """Of incentive: each that these took from once, all that was taken of it, and its state in the end."""
    values: Counter[tuple[str, UUID]] = Counter()
    states: dict[tuple[str, UUID], str] = {}
    for done in reversed_:
        for _, taken in done.taken:
            key = done.pending.tenant_id, taken.incentive_id
            values[key] += taken.value
            states[key] = "reversed" if taken.whole else taken.was
    order = sorted(states)
    return {
        "tenant_id": [tenant_id for tenant_id, _ in order],
        "incentive_id": [incentive_id for _, incentive_id in order],
        "value": [values[key] for key in order],
        "state": [states[key] for key in order],
    }


def list_lowered(reversed_: Sequence[SettledReversal]) -> Columns:
    """Of quest_step_met: each contribution that these lowered once, and what is reversed of it by now."""
    lowered = {
        (undone.place, each.step, each.event_key): each.reversed
        for done in reversed_
        for undone in done.instances
        for each in undone.lowered
    }
    places = [place for place, _, _ in lowered]
    return {
        "tenant_id": [place.tenant_id for place in places],
        "campaign_id": [place.campaign_id for place in places],
        "user_id": [place.user_id for place in places],
        "instance_key": [place.key for place in places],
        "occurrence": [place.occurrence for place in places],
        "step": [step for _, step, _ in lowered],
        "event_key": [event_key for _, _, event_key in lowered],
        "reversed": list(lowered.values()),
    }


def list_inbox_updates(reversed_: Sequence[SettledReversal]) -> Columns:
    """Of incentive_change, and of inbox: what users are told, in order."""
    told = [(done.pending, each) for done in reversed_ for each in done.told]
    return {
        "tenant_id": [pending.tenant_id for pending, _ in told],
        "incentive_id": [each.incentive_id for _, each in told],
        "seq": [each.seq for _, each in told],
        "changed_value": [each.value for _, each in told],
        "by_now": [each.reversed_value for _, each in told],
        "reason": [pending.request.reason for pending, _ in told],
        "reversal_id": [pending.reversal_id for pending, _ in told],
        "reversal_source": [pending.source for pending, _ in told],
    }


def _list_reevaluations(done: SettledReversal) -> str | None:
    """None where nothing was asked again."""
    found = done.so_far.reevaluated if done.so_far else {}
    return _encode(list(found.values())) if found else None


def _describe(undone: InstanceReversal) -> dict[str, object]:
    name, state = undone.instance.name, undone.instance.state
    quest = {"campaign_id": undone.place.campaign_id, "instance": name}
    return quest | {"was": undone.was, "state": state, "taken": undone.taken}


def _encode(value: object) -> str:
    return json.encode(value).decode()
