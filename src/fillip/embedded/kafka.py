"""Apache Kafka 4.3 (one KRaft broker) as a child, or the check of an external one."""

import base64
import re
import shutil
import signal
import socket
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from fillip.embedded.errors import ServerFailed
from fillip.embedded.ports import HOST
from fillip.embedded.process import Identity, run_tool
from fillip.embedded.state import StateFolder

NODE = 1
CONFIGURATION = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={node}@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
# One broker: the internal topics can't have three copies.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
# A killed worker's partitions move after 6 s, joining and leaving at once.
group.consumer.session.timeout.ms=6000
group.consumer.min.session.timeout.ms=6000
group.consumer.heartbeat.interval.ms=1000
group.consumer.min.heartbeat.interval.ms=1000
group.consumer.assignment.interval.ms=0
group.initial.rebalance.delay.ms=0
# A broker killed with -9 may register again after this, not after 9 s.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# Small: the cleaner's default buffer alone is half of the heap.
log.cleaner.dedupe.buffer.size=4194304
num.network.threads=2
num.io.threads=4
"""
# Client settings of the health checks: quick to retry, silent.
PROBE = {"reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100, "log_level": 0, "socket.timeout.ms": 3000}


class Kafka:
    """The embedded broker; its data lie in `kafka/` of the state folder."""

    name = "kafka"
    stop_signal = signal.SIGTERM
    identity: Identity = "direct"

    def __init__(self, folder: StateFolder, port: int, controller_port: int, java: Sequence[str]) -> None:
        """`java` is the program with its options and class path, up to the main class."""
        self._folder = folder
        self._port = port
        self._controller_port = controller_port
        self._java = java
        self._home = folder.path / "kafka"
        self._file = folder.path / "kafka.properties"
        self._probe: AdminClient | None = None

    @property
    def address(self) -> str:
        """The bootstrap server."""
        return f"{HOST}:{self._port}"

    def prepare(self) -> None:
        """Write the configuration (the ports may be new) and format the data folder once."""
        if not self._home.exists():
            made = self._home.with_suffix(".new")
            shutil.rmtree(made, ignore_errors=True)
            self._write_configuration(made)
            cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
            command = [*self._java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._file)]
            run_tool(command, self._folder.path / "log" / "kafka-format.log")
            made.rename(self._home)
        self._write_configuration(self._home)

    def build_command(self) -> list[str]:
        """Return the broker's command line."""
        return [*self._java, "kafka.Kafka", str(self._file)]

    def answers(self, pid: int) -> bool:
        """Tell whether a broker with our cluster id serves (the id is random, so no other has it)."""
        try:
            socket.create_connection((HOST, self._port), timeout=1).close()
            self._probe = self._probe or AdminClient({"bootstrap.servers": self.address, **PROBE})
            found = self._probe.list_topics(timeout=1)
        except (OSError, KafkaException):
            return False
        ours = re.search(r"^cluster\.id=(.+)$", (self._home / "meta.properties").read_text(), re.MULTILINE)
        return ours is not None and found.cluster_id == ours[1].strip() and bool(found.brokers)

    def complete(self) -> None:
        """Let go of the probe's connection."""
        self._probe = None

    def _write_configuration(self, data: Path) -> None:
        self._file.write_text(
            CONFIGURATION.format(
                node=NODE, host=HOST, port=self._port, controller_port=self._controller_port, data=data
            )
        )


def check_external(bootstrap: str, security: Mapping[str, Any]) -> None:
    """Raise ServerFailed when no broker answers at an external address, or refuses the login or the certificate."""
    said: list[KafkaError] = []  # the request itself only says that there was no answer
    settings = {"bootstrap.servers": bootstrap, **PROBE, **security, "error_cb": said.append}
    client = AdminClient(settings)
    try:
        client.list_topics(timeout=5)
    except KafkaException as error:
        while client.poll(0):  # hands over what was said meanwhile
            pass
        telling = [each for each in said if each.code() in (KafkaError._SSL, KafkaError._AUTHENTICATION)]
        reason = [*telling, *said, error.args[0]][0].str().splitlines()[0]
        raise ServerFailed(f"Kafka at {bootstrap} can't be used: {reason}; start it or correct its address") from error
