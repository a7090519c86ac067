"""From received events to what is to be loaded: those that are events at all. Whether their tenant takes them, rejections tell."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from msgspec import Struct, json
from msgspec.structs import replace

from fillip.analyse.facts import Load, Position, describe_aside
from fillip.core.envelope import open_envelope, read_time
from fillip.core.errors import Unreadable
from fillip.core.identity import identify_event
from fillip.core.instant import MAX_TIME, MIN_TIME
from fillip.stream.belt import Record, take_portions
from fillip.stream.topics import Partition

_TENANT = re.compile("[a-z0-9][a-z0-9-]{0,62}")
"""What a tenant may be called: anything else is nobody's, and no name of a folder."""
_MICROSECOND, _MILLISECOND = timedelta(microseconds=1), timedelta(milliseconds=1)
_LAST_MS = (MAX_TIME - MIN_TIME) // _MILLISECOND


class _EventRow(Struct, frozen=True):
    """An event as take_events.sql reads it; instants in microseconds since 1970, UTC."""

    tenant_id: str
    log_offset: int
    event_key: UUID
    source: str
    id: str
    user_id: str
    action: str
    occurred_us: int
    received_us: int
    data: dict[str, Any]


async def add_events(load: Load, records: Sequence[Record], positions: Mapping[Partition, Position]) -> None:
    """Add received events (log order within each partition) to a load, as rows. Others run in between.

    What is no event is passed over: it is among the rejections.
    """
    async for portion in take_portions(records):
        for record in portion:
            place = record.topic, record.partition
            known = load.positions.get(place) or positions.get(place) or Position(*place, 0)
            load.positions[place] = replace(known, next_offset=record.offset + 1)
            try:
                row = _write_row(record)
            except Unreadable:
                continue
            except Exception as error:  # noqa: BLE001 - foreseen or not: one record does not keep the others out
                load.asides.append(describe_aside(record, error))
                continue
            if row is not None:
                load.rows.setdefault(record.topic, []).append(replace(record, value=row))


def _write_row(record: Record) -> bytes | None:
    """The row as JSON; None for nobody's. Raises Unreadable."""
    envelope = open_envelope(record.value)
    tenant_id, occurred_at = envelope.tenantid, read_time(envelope.time)
    if not isinstance(tenant_id, str) or not _TENANT.fullmatch(tenant_id):
        return None
    row = _EventRow(
        tenant_id=tenant_id,
        log_offset=record.offset,
        event_key=identify_event(tenant_id, envelope.source, envelope.id),
        source=envelope.source,
        id=envelope.id,
        user_id=envelope.subject,
        action=envelope.type,
        occurred_us=(occurred_at - MIN_TIME) // _MICROSECOND,
        received_us=min(max(record.appended_at_ms, 0), _LAST_MS) * 1_000,  # as ingest bounds it
        data=envelope.data,
    )
    return json.encode(row)
