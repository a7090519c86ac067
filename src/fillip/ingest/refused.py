"""What the HTTP door refused, remembered behind its answer: no answer waits for it, and it is lost rather than in anybody's way."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog
from msgspec import Struct
from prometheus_client import Counter as Metric

from fillip.core.envelope import MAX_EVENT_BYTES
from fillip.core.errors import Retry
from fillip.core.identity import identify_event
from fillip.core.ports import DoorRefusal, RefusedEvent, RefusedEvents
from fillip.http.errors import HttpRefused
from fillip.ingest.decode import clean_detail

WAITING, WAITING_OF_TENANT = 32, 8
"""Requests, of a megabyte at most, that wait to be remembered."""
WITH_OTHERS = "some events of its request can't be taken, so none was: the answer named the first 20"
"""Of an event of which the answer said nothing."""
LOST = Metric("fillip_ingest_refusals_lost_total", "Requests refused at the HTTP door that could not be remembered")
log = structlog.get_logger()


class _Name(Struct, frozen=True):
    source: Any = None
    id: Any = None
    subject: Any = None


class _Request(Struct, frozen=True):
    """Of which tenant, its events, when it was refused, and what for; by the number of an event what is wrong with it."""

    tenant_id: str
    values: Sequence[bytes]
    at: datetime
    refused: HttpRefused
    faults: dict[int, tuple[str, str]]


_name = msgspec.json.Decoder(_Name)


class DoorRefusals:
    """Takes refusals by `note`, and has them kept while `run` runs."""

    def __init__(self, store: RefusedEvents) -> None:
        self._store = store
        self._waiting: asyncio.Queue[_Request] = asyncio.Queue()
        self._present: Counter[str] = Counter()

    def note(self, tenant_id: str, values: Sequence[bytes], refused: HttpRefused, *, single: bool) -> None:
        """A request of these events was refused. Where too many wait already it is lost, and counted."""
        if self._present.total() >= WAITING or self._present[tenant_id] >= WAITING_OF_TENANT:
            LOST.inc()
            return
        faults: dict[int, tuple[str, str]] = {}
        for fault in refused.faults:
            number, place = (0, fault.at) if single else _split_place(fault.at)
            faults.setdefault(number, (place, fault.message))
        self._present[tenant_id] += 1
        self._waiting.put_nowait(_Request(tenant_id, values, datetime.now(UTC), refused, faults))

    async def run(self) -> None:
        """Never ends by itself."""
        while True:
            request = await self._waiting.get()
            try:
                await self._store.keep(request.tenant_id, await _read_refused(request))
            except Retry as away:
                LOST.inc()
                log.info("a refused request is not remembered", error=str(away))
            except Exception:
                LOST.inc()
                log.exception("a refused request can't be remembered")
            finally:
                self._present[request.tenant_id] -= 1
                if not self._present[request.tenant_id]:
                    del self._present[request.tenant_id]


async def _read_refused(request: _Request) -> list[RefusedEvent]:
    """Its events that have a name. Others have their turn whenever as much is read as one event may have."""
    found, unbroken_bytes = [], 0
    for number, value in enumerate(request.values):
        unbroken_bytes += len(value)
        if unbroken_bytes > MAX_EVENT_BYTES:
            await asyncio.sleep(0)
            unbroken_bytes = len(value)
        if refused := _read_one(request, number, value):
            found.append(refused)
    return found


def _read_one(request: _Request, number: int, value: bytes) -> RefusedEvent | None:
    try:
        name = _name.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(name.source, str) or not isinstance(name.id, str):
        return None
    at, detail = request.faults.get(number, (None, WITH_OTHERS if request.faults else str(request.refused)))
    return RefusedEvent(
        event_key=identify_event(request.tenant_id, name.source, name.id),
        user_id=name.subject if isinstance(name.subject, str) else None,
        refusal=DoorRefusal(
            refused_at=request.at,
            status=request.refused.status,
            kind=request.refused.kind,
            detail=clean_detail(detail),
            at=at,
        ),
    )


def _split_place(pointer: str) -> tuple[int, str]:
    """(3, "/data/amount") of "/3/data/amount"."""
    number, _, rest = pointer[1:].partition("/")
    return int(number), f"/{rest}" if rest else ""
