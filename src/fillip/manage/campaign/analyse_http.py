"""core.ports.SeenCounts: analyse counts, in the parts of the log that PostgreSQL names."""

import asyncio
import time
from collections import OrderedDict
from datetime import UTC, datetime

import httpx
import msgspec
import structlog

from fillip.core.errors import FillipError
from fillip.core.live import SeenEvents
from fillip.core.ports import Caller
from fillip.http.seen_query import PATH, SeenHour, SeenQuery
from fillip.manage.analyse_http import ask
from fillip.manage.campaign.seen_postgres import find_seen_spans
from fillip.manage.store.postgres import Engine, transaction

KEPT_FOR_S, MOST_KEPT = 10.0, 1_000
ANSWER_WITHIN_S = 10.0
log = structlog.get_logger()
_Counting = asyncio.Task[SeenEvents | None]


class AnalyseSeenCounts:
    """See SeenCounts. An answer serves for ten seconds, and all who ask meanwhile wait for the same one.

    `client` has analyse's base URL and the key as bearer; it and the engine stay the caller's.
    """

    def __init__(self, engine: Engine, client: httpx.AsyncClient) -> None:
        self._engine, self._client = engine, client
        self._kept: OrderedDict[tuple[str, str, datetime], tuple[float, _Counting]] = OrderedDict()

    async def read(self, caller: Caller, campaign_id: str, since: datetime) -> SeenEvents | None:
        """See SeenCounts."""
        key, now = (caller.tenant_id, campaign_id, since), time.monotonic()
        asked_at, counting = self._kept.pop(key, (0.0, None))
        if counting is None or now - asked_at > KEPT_FOR_S or (counting.done() and counting.exception()):
            asked_at, counting = now, asyncio.create_task(self._count(caller, campaign_id, since))
        self._kept[key] = asked_at, counting
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return await asyncio.shield(counting)  # one who goes away takes nothing from the others

    async def _count(self, caller: Caller, campaign_id: str, since: datetime) -> SeenEvents | None:
        as_of = datetime.now(UTC)
        async with transaction(self._engine, caller) as connection:
            spans = await find_seen_spans(connection, caller, campaign_id, since)
        if not spans:
            return None if spans is None else SeenEvents(as_of, {})
        try:
            lines = await ask(self._client, PATH, SeenQuery(caller.tenant_id, since, spans), ANSWER_WITHIN_S)
            hours = msgspec.json.Decoder(SeenHour).decode_lines(lines)
        except (FillipError, msgspec.MsgspecError) as error:
            log.info("what a campaign has seen can't be told now", campaign_id=campaign_id, error=str(error))
            return None
        return SeenEvents(as_of, {each.hour: each.events for each in hours})
