"""Events of Fillip's own that a route asks for: put into the log once under an id of whoever asks, and waited for until they are decided.

So workers decide them in the order of the log, under limits, like all others; there is no second way to decide.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec import Struct, json

from fillip.core.by_hand import leave_out_key
from fillip.core.errors import Retry, Unreadable
from fillip.core.ports import Caller
from fillip.http.errors import Conflict
from fillip.manage.event.postgres import find_recorded
from fillip.manage.merge.postgres import are_same
from fillip.manage.request.route import AppState
from fillip.manage.store.postgres import Connection, transaction

WITHIN_S = 2.0
"""How long a request waits for the decision of its event."""


class OwnEvent(Struct, frozen=True):
    """An event to be: its action, which is its source too; its id, unique among those of this action; whose it is, and its data."""

    action: str
    own_id: str
    user_id: str
    data: Mapping[str, object]

    def encode(self) -> bytes:
        """The CloudEvent, as of now."""
        name = {"specversion": "1.0", "id": self.own_id, "source": self.action, "type": self.action}
        return json.encode(name | {"subject": self.user_id, "time": datetime.now(UTC), "data": self.data})


async def is_known(connection: Connection, caller: Caller, own: OwnEvent, at: str) -> bool:
    """Whether it was asked for before, and is recorded. Raises Conflict, with the id's place, where it said something else."""
    row = await find_recorded(connection, caller, own.own_id, own.action)
    if row is None:
        return False
    same = leave_out_key(row.attributes) == leave_out_key(own.data)
    if not same or not await are_same(connection, caller, own.user_id, row.user_id):
        raise _tell_conflict(own, at)
    return True


async def decide_own(app_state: AppState, caller: Caller, own: OwnEvent, at: str) -> bool:
    """Put the event into the log; whether it is decided within WITHIN_S: else it will be.

    Raises Conflict where its id stands for something else, Retry where there is no log. Call it outside of a transaction.
    """
    if app_state.event_log is None:
        raise Retry("this process has no way to the log of events")
    try:
        decided = await app_state.event_log.decide(caller.tenant_id, own.encode(), WITHIN_S)
    except Unreadable as error:
        if error.reason == "conflicting_duplicate":
            raise _tell_conflict(own, at) from None
        raise
    if decided:  # another process may have been asked something else under this id a moment before
        async with transaction(app_state.engine, caller) as connection:
            await is_known(connection, caller, own, at)
    return decided


def _tell_conflict(own: OwnEvent, at: str) -> Conflict:
    text = f"'{own.own_id}' was asked for before with another body; give each {own.action.rpartition('.')[2]} an id of its own"
    return Conflict(text, at=at)
