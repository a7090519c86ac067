"""The belt on Kafka. Only this folder imports its driver."""

from fillip.stream.kafka.admin import ensure_topics
from fillip.stream.kafka.ends import LogEnds
from fillip.stream.kafka.log import read_log
from fillip.stream.kafka.producer import KafkaProducer, Offsets
from fillip.stream.kafka.reader import Away
from fillip.stream.kafka.source import KafkaSource
from fillip.stream.kafka.tail import Tail, read_last

__all__ = [
    "Away", "KafkaProducer", "KafkaSource", "LogEnds", "Offsets", "Tail", "ensure_topics", "read_last", "read_log",
]  # fmt: skip
