"""Rows of what reversals did, named and ordered as the columns that the statements of settle.reversal take."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from msgspec import Struct, json

from fillip.core.quest.batch import InstanceKey
from fillip.core.quest.reversal import InstanceReversal
from fillip.settle.columns import Columns
from fillip.settle.reversal.stage import SettledReversal


class LineRow(Struct, frozen=True):
    """Of reversed_line: how far a line of an original was taken back by then; both numbers are fractions as text."""

    tenant_id: str
    event_key: UUID
    line: str
    share: str
    whole: str | None


class TakenRow(Struct, frozen=True):
    """Of incentive: all that was taken of it, and its state in the end."""

    tenant_id: str
    incentive_id: UUID
    value: int
    state: str


class LoweredRow(Struct, frozen=True):
    """Of quest_step_met: what is reversed of it by now."""

    tenant_id: str
    campaign_id: str
    user_id: str
    instance_key: str
    occurrence: int
    step: str
    event_key: UUID
    reversed: int


class InboxUpdateRow(Struct, frozen=True):
    """Of incentive_change, and of inbox."""

    tenant_id: str
    incentive_id: UUID
    seq: int
    changed_value: int
    by_now: int
    reason: str | None
    reversal_id: str
    reversal_source: str


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
        "quests": [_encode([_describe(each) for each in done.instances]) for done in reversed_],
        "share": [None if done.so_far is None else str(done.so_far.share) for done in reversed_],
        "occurred_at": [pending.occurred_at for pending in everyone],
        "received_at": [pending.received_at for pending in everyone],
    }


def write_lines(reversed_: Sequence[SettledReversal]) -> Iterable[LineRow]:
    """The rows of the lines that these name, each once, as the last of them left it."""
    rows: dict[tuple[str, UUID, str], LineRow] = {}
    for done in reversed_:
        lines = done.so_far.lines if done.so_far else {}
        tenant_id, event_key = done.pending.original
        for name in sorted(done.pending.request.line_names & lines.keys()):
            whole = lines[name].whole
            rows[tenant_id, event_key, name] = LineRow(
                tenant_id=tenant_id,
                event_key=event_key,
                line=name,
                share=str(lines[name].share),
                whole=None if whole is None else str(whole),
            )
    return rows.values()


def write_taken(reversed_: Sequence[SettledReversal]) -> list[TakenRow]:
    """The rows of the incentives that these took from, each once, sorted."""
    rows: dict[tuple[str, UUID], TakenRow] = {}
    for done in reversed_:
        for _, taken in done.taken:
            key = tenant_id, incentive_id = done.pending.tenant_id, taken.incentive_id
            rows[key] = TakenRow(
                tenant_id=tenant_id,
                incentive_id=incentive_id,
                value=taken.value + (rows[key].value if key in rows else 0),
                state="reversed" if taken.whole else taken.was,
            )
    return [row for _, row in sorted(rows.items())]


def write_lowered(reversed_: Sequence[SettledReversal]) -> list[LoweredRow]:
    """The rows of the contributions that these lowered, each once, as the last of them left it."""
    rows: dict[tuple[InstanceKey, str, UUID], LoweredRow] = {}
    for done in reversed_:
        for place, each in ((undone.place, each) for undone in done.instances for each in undone.lowered):
            rows[place, each.step, each.event_key] = LoweredRow(
                tenant_id=place.tenant_id,
                campaign_id=place.campaign_id,
                user_id=place.user_id,
                instance_key=place.key,
                occurrence=place.occurrence,
                step=each.step,
                event_key=each.event_key,
                reversed=each.reversed,
            )
    return list(rows.values())


def write_inbox_updates(reversed_: Sequence[SettledReversal]) -> list[InboxUpdateRow]:
    """The rows of what users are told, in order."""
    return [
        InboxUpdateRow(
            tenant_id=done.pending.tenant_id,
            incentive_id=told.incentive_id,
            seq=told.seq,
            changed_value=told.value,
            by_now=told.reversed_value,
            reason=done.pending.request.reason,
            reversal_id=done.pending.reversal_id,
            reversal_source=done.pending.source,
        )
        for done in reversed_
        for told in done.told
    ]


def _describe(undone: InstanceReversal) -> dict[str, object]:
    name, state = undone.instance.name, undone.instance.state
    quest = {"campaign_id": undone.place.campaign_id, "instance": name}
    return quest | {"was": undone.was, "state": state, "taken": undone.taken}


def _encode(value: object) -> str:
    return json.encode(value).decode()
