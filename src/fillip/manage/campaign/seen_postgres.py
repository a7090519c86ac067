"""Which events a campaign has seen: parts of the log, by the definitions that they were decided under."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import ARRAY, BigInteger, Row, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from fillip.core.campaign.campaign import Campaign
from fillip.core.ports import Caller
from fillip.http.seen_query import MOST_SPANS, SeenSpan
from fillip.manage.store.postgres import Connection

MOST_CHANGES = 20
"""Of a campaign in a day."""
_LOOKING = frozenset({"shadow", "scheduled", "running", "paused", "ended"})
"""States in which a campaign looks at events, whatever it then decides."""
_Look = tuple[str, datetime | None, datetime | None]
"""An action, and from when until when events of it happen that are looked at."""
_FIND_SPANS = text(Path(__file__).with_name("find_seen_spans.sql").read_text(encoding="utf-8"))
_READ_CHANGES = (
    text(Path(__file__).with_name("read_changes.sql").read_text(encoding="utf-8"))
    .bindparams(bindparam("versions", type_=ARRAY(BigInteger)))
    .columns(definition=JSONB, kept=JSONB)
)


async def find_seen_spans(
    connection: Connection, caller: Caller, campaign_id: str, since: datetime
) -> Sequence[SeenSpan] | None:
    """The settled parts of the log in which it has seen the events of an action; they hold all that were received since `since`.

    None where that can't be told: the log was replaced, or the campaign was changed too often.
    """
    mine = {"tenant_id": caller.tenant_id, "campaign_id": campaign_id}
    parts = (await connection.execute(_FIND_SPANS, mine | {"since": since, "most": MOST_SPANS + 1})).all()
    versions = sorted({part.book_version for part in parts})
    is_one_log = len({(part.topic, part.generation) for part in parts}) <= 1
    if not is_one_log or len(parts) > MOST_SPANS or len(versions) > MOST_CHANGES:
        return None
    rows = (await connection.execute(_READ_CHANGES, mine | {"versions": versions})).all() if versions else []
    looks = await asyncio.to_thread(_list_looks_by_version, rows)
    spans = [
        SeenSpan(part.partition, part.first_offset, part.end_offset, action, starts_at, ends_at)
        for part in parts
        for action, starts_at, ends_at in looks.get(part.book_version, ())
    ]
    return spans if len(spans) <= MOST_SPANS else None


def _list_looks_by_version(rows: Sequence[Row[Any]]) -> Mapping[int, set[_Look]]:
    return {row.book_version: {*_list_looks(row.state, row.definition, row.kept)} for row in rows}


def _list_looks(state: str, definition: object, kept: Sequence[object] | None) -> Iterator[_Look]:
    """The actions of whose events a campaign looks at, each with the schedule; of the earlier versions in force too."""
    if state not in _LOOKING:
        return
    newest = msgspec.convert(definition, Campaign)
    for each in (newest, *(msgspec.convert(one, Campaign).beside(newest) for one in kept or ())):
        for expression in each.expressions:
            if expression.is_rule:
                yield expression.action, each.schedule.starts_at, each.schedule.ends_at
