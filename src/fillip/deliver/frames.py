"""The gateway's protocol: JSON text frames, read and written."""

import time
from datetime import datetime
from typing import Annotated, Literal
from uuid import uuid4

import msgspec
from msgspec import Meta, Raw, Struct
from msgspec.structs import asdict

from fillip.core.errors import Refused
from fillip.core.identity import name_instance
from fillip.core.json_text import find_repeated, repeats_name
from fillip.core.problem import Problem, describe_problem
from fillip.core.quest.instance import QuestState
from fillip.deliver.inbox import Change, InboxEntry, Incentive, LevelChange, Progress, StepProgress, write_instant

PATH = "/v1/stream"
Seq = Annotated[int, Meta(ge=0, le=2**62)]


ClosedKind = Literal[
    "bad-frame",
    "hello-timeout",
    "unavailable",
    "bad-ticket",
    "too-many-frames",
    "too-many-sessions",
    "quota-exceeded",
    "cursor-ahead",
    "bad-ack",
    "slow-reader",
    "user-merged",
]


class Closed(Refused):
    """The gateway ends a connection: the client is sent a problem, then the close code.

    `code` is 4000 + the problem's status, and 4450 where the same hello may be tried again later (status 503).
    """

    def __init__(self, kind: ClosedKind, status: int, message: str, *, at: str | None = None) -> None:
        super().__init__(message, at=at)
        self.kind = kind
        self.status = status
        self.code = 4450 if status == 503 else 4000 + status


class Hello(Struct, frozen=True, forbid_unknown_fields=True, tag="hello"):
    """The first frame. `cursor` is the last seq seen, 0 from the start, None everything unacked."""

    ticket: Annotated[str, Meta(min_length=1, max_length=512)]
    cursor: Seq | None = None
    trace: bool = False


class Ack(Struct, frozen=True, forbid_unknown_fields=True, tag="ack"):
    """Every frame up to `seq` has been taken in."""

    seq: Seq


class Ping(Struct, frozen=True, forbid_unknown_fields=True, tag="ping"):
    """Asks for a pong."""


class Welcome(Struct, frozen=True, tag="welcome"):
    """The answer to hello: replay from the cursor follows, then live frames. `last_seq` is the inbox's newest."""

    user: str
    last_seq: int


class Pong(Struct, frozen=True, tag="pong"):
    """The answer to ping."""


class Trace(Struct, frozen=True):
    """When a live frame passed each step, microseconds since 1970 UTC."""

    received_at_us: int
    taken_at_us: int
    granted_at_us: int
    committed_at_us: int
    published_at_us: int
    pushed_at_us: int


class Pushed(Struct, frozen=True, tag="incentive", omit_defaults=True):
    """One inbox entry. `trace` comes with live frames where hello asked for it, never with a replay."""

    seq: int
    incentive: Incentive
    trace: Trace | None = None


class Changed(Struct, frozen=True):
    """One inbox entry that tells what became of an incentive told of before."""

    type: str
    seq: int
    incentive: Incentive
    change: Change


class Unreadable(Struct, frozen=True, tag="unreadable"):
    """One inbox entry that can't be shown: it keeps its number, so that no other is missed."""

    seq: int


class Failed(Struct, frozen=True, tag="error"):
    """Says why the connection is about to be closed."""

    problem: Problem


class _Row(Struct, frozen=True):
    tenant_id: str
    user_id: str
    inbox_seq: int
    incentive_id: str
    campaign_id: str
    kind: str
    value: int
    currency: str | None
    payload: Raw
    event_id: str
    event_source: str
    granted_at: str
    received_at: datetime | None = None
    taken_at: datetime | None = None
    change: Literal["reversed", "expired"] | None = None
    changed_value: int = 0
    reversed_value: int = 0
    reason: str | None = None
    changed_at: datetime | None = None
    coupon_code: str | None = None
    expires_at: datetime | None = None


class _Source(Struct, frozen=True):
    committed_at_us: int
    published_at_us: int


class _Announcement(Struct, frozen=True):
    after: _Row
    source: _Source


class _Shortened(Struct, frozen=True):
    omitted: tuple[str, ...] = ()


class _Instance(Struct, frozen=True):
    campaign_id: str
    instance_key: str
    occurrence: int
    state: QuestState
    steps: tuple[StepProgress, ...]
    started_at: datetime
    ends_at: datetime | None
    revision: int


class _Move(Struct, frozen=True):
    after: _Instance | None


class _Level(Struct, frozen=True):
    currency: str
    number: int
    direction: Literal["up", "down", "renamed"]
    from_level: str
    to_level: str
    earned: int
    next_level: str | None
    next_threshold: int | None
    falls_at: datetime | None
    changed_at: datetime


class _LevelMove(Struct, frozen=True):
    after: _Level | None


class Live(Struct, frozen=True):
    """An announced inbox entry; `trace` comes with a grant. `pushed_after_s` is the time since it was announced."""

    entry: InboxEntry
    trace: Trace | None
    pushed_after_s: float


_INBOUND: msgspec.json.Decoder[Hello | Ack | Ping] = msgspec.json.Decoder(Hello | Ack | Ping)
_ANNOUNCEMENT = msgspec.json.Decoder(_Announcement)
_MOVE = msgspec.json.Decoder(_Move)
_LEVEL_MOVE = msgspec.json.Decoder(_LevelMove)
_SHORTENED = msgspec.json.Decoder(_Shortened)
_ENCODER = msgspec.json.Encoder()
encode_frame = _ENCODER.encode


def read_frame(frame: str | bytes) -> Hello | Ack | Ping:
    """A client's frame; raises Closed (400) saying what is wrong and where."""
    if isinstance(frame, bytes):
        raise Closed("bad-frame", 400, "binary frame: send JSON as text")
    try:
        read, twice = _INBOUND.decode(frame), repeats_name(frame.encode(), msgspec.json.decode(frame))
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise Closed("bad-frame", 400, f"frame refused: {error}") from None
    if twice:
        fault = find_repeated(frame.encode())
        raise Closed("bad-frame", 400, f"frame refused: {fault.message} - at {fault.at}", at=fault.at)
    return read


def read_announcement(value: bytes) -> Live:
    """A message of incentive.generated, .reversed or .expired, pushed now; raises msgspec.DecodeError, or ValueError for an instant."""
    found = _ANNOUNCEMENT.decode(value)
    row, source = found.after, found.source
    granted_at, pushed_at_us = datetime.fromisoformat(row.granted_at), time.time_ns() // 1000
    incentive = Incentive(
        incentive_id=row.incentive_id,
        campaign_id=row.campaign_id,
        kind=row.kind,
        value=row.value,
        currency=row.currency,
        payload=row.payload,
        granted_at=write_instant(granted_at),
        event_id=row.event_id,
        event_source=row.event_source,
        coupon_code=row.coupon_code,
        expires_at=write_instant(row.expires_at) if row.expires_at else None,
    )
    entry = InboxEntry(row.inbox_seq, incentive, _read_change(row))
    trace = _read_trace(row, granted_at, source, pushed_at_us)
    return Live(entry, trace, max(0, pushed_at_us - source.published_at_us) / 1e6)


def read_progress(value: bytes) -> Progress | None:
    """A message of quest.progressed, None for one of a removed instance; raises msgspec.DecodeError."""
    row = _MOVE.decode(value).after
    if row is None:
        return None
    return Progress(
        campaign_id=row.campaign_id,
        instance=name_instance(row.instance_key, row.occurrence),
        state=row.state,
        steps=row.steps,
        started_at=write_instant(row.started_at),
        ends_at=write_instant(row.ends_at) if row.ends_at else None,
        revision=row.revision,
    )


def read_level(value: bytes) -> LevelChange | None:
    """A message of level.changed, None for one of a removed row; raises msgspec.DecodeError."""
    row = _LEVEL_MOVE.decode(value).after
    if row is None:
        return None
    instants = {"falls_at": row.falls_at and write_instant(row.falls_at), "changed_at": write_instant(row.changed_at)}
    return LevelChange(**asdict(row) | instants)


def is_shortened(value: bytes) -> bool:
    """Whether an announcement goes without some of its columns, as it says itself; raises msgspec.DecodeError."""
    return bool(_SHORTENED.decode(value).omitted)


def write_entry(entry: InboxEntry, trace: Trace | None = None) -> bytes:
    """The frame of an inbox entry: the same live and replayed, but for the trace."""
    if entry.incentive is None:
        return encode_frame(Unreadable(entry.seq))
    if entry.change is None:
        return encode_frame(Pushed(entry.seq, entry.incentive, trace))
    return encode_frame(Changed(entry.change.kind, entry.seq, entry.incentive, entry.change))


def _read_change(row: _Row) -> Change | None:
    if row.change is None or row.changed_at is None:
        return None
    return Change(row.change, row.changed_value, row.reversed_value, row.reason, write_instant(row.changed_at))


def _read_trace(row: _Row, granted_at: datetime, source: _Source, pushed_at_us: int) -> Trace | None:
    if row.received_at is None or row.taken_at is None:
        return None
    return Trace(
        received_at_us=_count_us(row.received_at),
        taken_at_us=_count_us(row.taken_at),
        granted_at_us=_count_us(granted_at),
        committed_at_us=source.committed_at_us,
        published_at_us=source.published_at_us,
        pushed_at_us=pushed_at_us,
    )


def encode_closed(closed: Closed) -> bytes:
    """The error frame that goes before the close."""
    problem = describe_problem(closed.kind, closed.status, str(closed), instance=PATH, trace_id=uuid4().hex)
    return encode_frame(Failed(problem))


def _count_us(instant: datetime) -> int:
    return round(instant.timestamp() * 1_000_000)
