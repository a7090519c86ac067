"""Creating the topics."""

import asyncio
import time

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
    admin = AdminClient(dict(config), logger=log)
    found = ask_broker(admin.list_topics, None, 2 * ANSWER_S)
    copies = 3 if len(found.brokers) >= 3 else 1
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
        for name, count in topics.count_partitions(partitions).items()
        if name not in found.topics
    ]
    for made in admin.create_topics(wanted, operation_timeout=2 * ANSWER_S).values() if wanted else ():
        try:
            made.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise Away(f"topics cannot be created: {error.args[0].str()}") from None
    _await_leaders(admin, set(topics.count_partitions(partitions)))


def _await_leaders(admin: AdminClient, names: set[str]) -> None:
    """Return when the broker knows each topic and who leads its partitions: a moment after it has created them."""
    give_up_at = time.monotonic() + 2 * ANSWER_S
    while True:
        found = ask_broker(admin.list_topics, None, ANSWER_S).topics
        partitions = {name: topic.partitions.values() for name, topic in found.items()}
        led = {name for name, some in partitions.items() if some and all(each.leader >= 0 for each in some)}
        if names <= led:
            return
        if time.monotonic() > give_up_at:
            raise Away(f"topics have no leader yet: {', '.join(sorted(names - led))}")
        time.sleep(TURN_S)
