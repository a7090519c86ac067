"""ReceivedEvents over HTTP: events that met nothing lie with analyse alone."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

import httpx
import msgspec

from fillip.core.errors import Refused, Retry
from fillip.core.ports import ReceivedEvent
from fillip.http.event_query import PATH, EventQuery
from fillip.manage.analyse_http import ask
from fillip.stream.belt import StreamError
from fillip.stream.topics import Partition

ANSWER_WITHIN_S = 40.0
"""It waits 4 s for loads, 20 for others of the tenant's queries, and runs 5."""
_event = msgspec.json.Decoder(ReceivedEvent)


class AnalyseReceivedEvents:
    """See ReceivedEvents."""

    def __init__(self, client: httpx.AsyncClient, read_ends: Callable[[], Awaitable[Mapping[Partition, int]]]) -> None:
        """`client` is of open_client; `read_ends` tells the offset behind the newest event of each partition of the log."""
        self._client = client
        self._read_ends = read_ends

    async def find(self, tenant_id: str, source: str, event_id: str, since: datetime) -> ReceivedEvent | None:
        """See ReceivedEvents."""
        try:
            ends = {partition: end for (_, partition), end in (await self._read_ends()).items()}
        except StreamError as away:
            raise Retry(str(away)) from away
        asked = EventQuery(tenant_id=tenant_id, source=source, id=event_id, since=since, ends=ends)
        try:
            line = await ask(self._client, PATH, asked, ANSWER_WITHIN_S)
            return _event.decode(line) if line.strip() else None
        except (Refused, msgspec.MsgspecError) as error:  # it was looked for too long, or the answer is none
            raise Retry(f"what met nothing can't be told now: {error}") from error
