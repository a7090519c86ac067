"""Finds an event by its name, wherever it stands: in the ledger, with analyse, among rejections, or among what the door refused."""

from datetime import UTC, datetime, timedelta

from msgspec import Struct

from fillip.core.errors import Retry
from fillip.core.ports import Caller, DoorRefusal, ReceivedEvent, ReceivedEvents, RefusedEvents
from fillip.http.errors import NotFound
from fillip.manage.explain.postgres import ExplainedEvent
from fillip.manage.store.postgres import Engine, transaction
from fillip.manage.story import postgres
from fillip.manage.story.answer import EventState
from fillip.manage.story.record import EventName, LedgerEvent, Settled

TOLD_FOR = timedelta(hours=24)
"""Of an event that met nothing: so long after its receipt."""


class FoundEvent(Struct, frozen=True):
    """All that is known of an event by itself; `event` and `settled` are None where it is not in the log."""

    name: EventName
    ledger: LedgerEvent
    event: ExplainedEvent | None
    settled: Settled | None
    refusal: DoorRefusal | None

    @property
    def state(self) -> EventState:
        """See StoryAnswer."""
        if self.ledger.event:
            return "decided"
        if self.settled:
            return "met_nothing" if self.settled.settled else "waiting"
        return "rejected" if self.ledger.rejections else "refused"


class Finding(Struct, frozen=True):
    """Where to look; None: there is no such place in this installation."""

    engine: Engine
    refused: RefusedEvents | None
    received: ReceivedEvents | None

    async def find(self, caller: Caller, name: EventName) -> FoundEvent:
        """Raises NotFound where nothing of this name has come; Retry where that can't be told now."""
        async with transaction(self.engine, caller) as connection:
            ledger = await postgres.find_in_ledger(connection, caller, name)
        if ledger.erased:
            raise NotFound("its user was erased, and with it what was sent: nothing is told of this event")
        received = None if ledger.event else await self._find_received(caller, name)
        refusal, is_told = await self._find_refusal(caller, name)
        settled = None
        if place := ledger.place or (received and (received.partition, received.log_offset)):
            async with transaction(self.engine, caller) as connection:
                settled = await postgres.find_settled(connection, caller, place)
                if received:  # what is settled now may be recorded, rejected or erased since
                    ledger = await postgres.find_in_ledger(connection, caller, name)
                    rejected = any((each.partition, each.log_offset) == place for each in ledger.rejections)
                    if rejected or await postgres.is_being_erased(connection, caller, received):
                        received = settled = None
        event = ledger.event or (_read_received(received) if received else None)
        if event is None and not ledger.rejections and refusal is None:
            if not is_told:
                raise Retry("whether the door refused it can't be told now: try again soon")
            raise NotFound(_tell_unknown(name))
        return FoundEvent(name, ledger, event, settled, refusal)

    async def _find_refusal(self, caller: Caller, name: EventName) -> tuple[DoorRefusal | None, bool]:
        """Why the door refused it the last time, and whether that can be told."""
        if self.refused is None:
            return None, False
        try:
            return await self.refused.find(caller.tenant_id, name.key), True
        except Retry:
            return None, False

    async def _find_received(self, caller: Caller, name: EventName) -> ReceivedEvent | None:
        if self.received is None:
            raise Retry("what met nothing can't be told here: the operator sets FILLIP_ANALYSE_KEY")
        since = datetime.now(UTC) - TOLD_FOR
        return await self.received.find(caller.tenant_id, name.source, name.event_id, since)


def _read_received(received: ReceivedEvent) -> ExplainedEvent:
    return ExplainedEvent(
        source=received.source,
        event_id=received.id,
        user_id=received.user_id,
        action=received.action,
        occurred_at=received.occurred_at,
        received_at=received.received_at,
        attributes=received.data,
    )


def _tell_unknown(name: EventName) -> str:
    return (
        f"no event '{name.event_id}' of source '{name.source[:100]}' has come, up to now: what met nothing, or was refused, is told for"
        " 24 hours (of what was refused the newest 5,000). Each name is one segment of the path, percent-encoded: a / is %2F"
    )
