"""Creating the topics."""

import asyncio
import time
from collections.abc import Mapping

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # exported all the same

from fillip.stream.kafka.reader import ANSWER_S, TURN_S, Away, Config, ask_broker, build_client_config, log
from fillip.stream.topics import Topics

RETENTION_MS = 7 * 24 * 3600 * 1000
SEGMENT_MS = 24 * 3600 * 1000
"""A record goes with its segment: so the oldest is a day older than RETENTION_MS at most."""
BRIEF = {"retention.ms": str(3600 * 1000), "segment.ms": str(600 * 1000)}
"""Of Topics.brief: old users and old heartbeats help nobody. A segment is closed before it can be deleted."""
COMPACTED = {"cleanup.policy": "compact", "retention.ms": "-1"}


async def ensure_topics(bootstrap: str, topics: Topics, partitions: int = 8, extra: Config | None = None) -> None:
    """Create the topics that are missing; existing ones stay as they are. Raises Away."""
    await asyncio.to_thread(_ensure_topics, {**build_client_config(bootstrap), **(extra or {})}, topics, partitions)


def _ensure_topics(config: Config, topics: Topics, partitions: int) -> None:
    """A topic that was deleted a moment ago may be listed still: what is missing is made each time that the broker is asked."""
    admin = AdminClient(dict(config), logger=log)
    counts, give_up_at = topics.count_partitions(partitions), time.monotonic() + 2 * ANSWER_S
    while True:
        found = ask_broker(admin.list_topics, None, 2 * ANSWER_S)
        known = {name: topic.partitions.values() for name, topic in found.topics.items()}
        led = {name for name, some in known.items() if some and all(each.leader >= 0 for each in some)}
        if counts.keys() <= led:
            return
        if time.monotonic() > give_up_at:
            raise Away(f"topics have no leader yet: {', '.join(sorted(counts.keys() - led))}")
        _create(admin, topics, {name: count for name, count in counts.items() if name not in known}, len(found.brokers))
        time.sleep(TURN_S)


def _create(admin: AdminClient, topics: Topics, counts: Mapping[str, int], brokers: int) -> None:
    copies = 3 if brokers >= 3 else 1
    settings = {"message.timestamp.type": "LogAppendTime", "retention.ms": str(RETENTION_MS),
                "segment.ms": str(SEGMENT_MS),
                "min.insync.replicas": str(max(1, copies - 1))}  # fmt: skip
    wanted = [
        NewTopic(
            name,
            num_partitions=count,
            replication_factor=copies,
            config=settings | (BRIEF if name in topics.brief else COMPACTED if name == topics.schemas else {}),
        )
        for name, count in counts.items()
    ]
    for made in admin.create_topics(wanted, operation_timeout=2 * ANSWER_S).values() if wanted else ():
        try:
            made.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise Away(f"topics cannot be created: {error.args[0].str()}") from None
