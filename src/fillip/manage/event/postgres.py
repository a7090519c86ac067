"""Events that the ledger has recorded, by the id that their sender gave: those of several sources may share one."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, select

from fillip.core.event import REVERSAL
from fillip.core.identity import identify_event
from fillip.core.ports import Caller
from fillip.http.errors import Invalid
from fillip.manage.store.postgres import Connection
from fillip.manage.store.tables.ledger import event_met

MAX_NAMED = 10
"""Most sources that a refusal names."""
_MAX_SHOWN = 100  # characters of each


async def find_recorded(
    connection: Connection, caller: Caller, event_id: str, source: str | None, *, at: str = "/event_source"
) -> Row[Any] | None:
    """The one event of this id that has come and met something, of `source` where it is given; no reversal.

    Raises Invalid, which names the sources, where there are several; `at` is where the source should have been given.
    """
    event = event_met.c
    mine = (event.tenant_id == caller.tenant_id) & event.fingerprint.is_not(None) & (event.action != REVERSAL)
    named = event.event_id == event_id
    if source is not None:
        named = event.event_key == identify_event(caller.tenant_id, source, event_id)
    found = (await connection.execute(select(event_met).where(mine, named).limit(MAX_NAMED + 1))).all()
    if len(found) > 1:
        raise ask_for_source("event", event_id, [row.event_source for row in found], at)
    return found[0] if found else None


def split_name(caller: Caller, event_id: str | None, source: str | None) -> tuple[dict[str, object], dict[str, object]]:
    """Filters of a table by the event that its rows are of: those that an index serves, and those to sift by."""
    if event_id is None or source is None:
        return {"event_id": event_id}, {"event_source": source}
    return {"event_key": identify_event(caller.tenant_id, source, event_id)}, {}


def ask_for_source(what: str, its_id: str, sources: Sequence[str], at: str) -> Invalid:
    """What is answered where an id alone does not tell which one is meant; `sources` may be one more than is named."""
    named = ", ".join(repr(source[:_MAX_SHOWN]) for source in sorted(sources[:MAX_NAMED]))
    more = " and more" if len(sources) > MAX_NAMED else ""
    return Invalid(f"several sources have {what} '{its_id}', say which: {named}{more}", at=at)
