"""Where some topics end now, for those who want to know how far they are behind."""

import asyncio
from collections.abc import Sequence

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # exported all the same

from fillip.stream.kafka.reader import Away, Config, build_client_config, log

ANSWER_S = 2.0


class LogEnds:
    """Asks by a client of its own, beside whoever reads."""

    def __init__(self, bootstrap: str, topics: Sequence[str], extra: Config | None = None) -> None:
        self._config = {**build_client_config(bootstrap), **(extra or {})}
        self._topics = topics
        self._admin: AdminClient | None = None

    async def read(self) -> dict[tuple[str, int], int]:
        """The offset behind the newest record, by topic and partition. Raises Away, also where a topic is missing."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> dict[tuple[str, int], int]:
        self._admin = admin = self._admin or AdminClient(dict(self._config), logger=log)
        try:
            found = admin.list_topics(timeout=ANSWER_S).topics
            if missing := [name for name in self._topics if name not in found]:
                raise Away(f"topic {missing[0]} is missing; `fillip migrate` makes it")
            places = [(name, number) for name in self._topics for number in found[name].partitions]
            newest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
            asked = admin.list_offsets({TopicPartition(*place): newest for place in places}, request_timeout=ANSWER_S)
            return {(part.topic, part.partition): answer.result(ANSWER_S).offset for part, answer in asked.items()}
        except KafkaException as error:
            raise Away(f"Kafka does not answer: {error.args[0].str()}") from None
