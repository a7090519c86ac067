"""What an erasure asks of the topics: up to where they reach, and whether the ledger has come so far."""

import asyncio

from fillip.app.settings import Settings
from fillip.core.errors import Retry
from fillip.settle.positions.postgres import list_positions
from fillip.stream.kafka import Away, read_log
from fillip.stream.topics import Topics


class ErasureTopics:
    """See fillip.manage.erasure.run.Topics."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topics = Topics(settings.topic_prefix)

    async def read_received(self) -> dict[str, dict[str, int]]:
        """Where the events' topic ends now."""
        return await self._read_ends([self._topics.received])

    async def are_settled(self, ends: dict[str, dict[str, int]]) -> bool:
        """Whether the ledger has taken all events before that."""
        stored = await list_positions(self._settings.dsn("fillip_worker"), self._topics.received)
        wanted = ends[self._topics.received].items()
        return all(int(number) in stored and stored[int(number)].next_offset >= end for number, end in wanted)

    async def read_loaded(self) -> dict[str, dict[str, int]]:
        """Where the topics end now that reports are loaded from, without those partitions that hold nothing."""
        return await self._read_ends(self._topics.loaded)

    async def _read_ends(self, topics: list[str]) -> dict[str, dict[str, int]]:
        kafka = self._settings.kafka_bootstrap, self._settings.kafka_security
        try:
            logs = await asyncio.gather(*(read_log(kafka[0], topic, kafka[1]) for topic in topics))
        except Away as away:
            raise Retry(str(away)) from away
        return {
            topic: {str(number): log.end for number, log in partitions.items() if log.end > log.first}
            for topic, partitions in zip(topics, logs, strict=True)
        }
