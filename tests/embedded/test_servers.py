"""Starting, stopping, crashing and resuming the three servers, on the real ones."""

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from fillip.embedded.addresses import Addresses, External
from fillip.embedded.errors import ServerFailed
from fillip.embedded.process import fingerprint_process
from fillip.embedded.servers import Servers


@pytest.fixture
def state() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fillip-state-") as folder:
        yield Path(folder) / "state"


def write_everywhere(addresses: Addresses) -> None:
    with psycopg.connect(addresses.postgres_dsn) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    admin = AdminClient({"bootstrap.servers": addresses.kafka_bootstrap})
    admin.create_topics([NewTopic("kept", 3)])["kept"].result(10)


def read_back(addresses: Addresses) -> tuple[int, int]:
    with psycopg.connect(addresses.postgres_dsn) as connection:
        row = connection.execute("SELECT answer FROM kept").fetchone()
    topics = AdminClient({"bootstrap.servers": addresses.kafka_bootstrap}).list_topics(timeout=10).topics
    assert row is not None
    return int(row[0]), len(topics["kept"].partitions)


def test_a_second_start_finds_the_data_and_moves_off_taken_ports(state: Path) -> None:
    # given servers that were used, stopped, and whose ports others took meanwhile
    with Servers(state) as before:
        write_everywhere(before)
    ports = [
        int(before.postgres_dsn.rpartition(":")[2].split("/")[0]),
        int(before.kafka_bootstrap.split(":")[1]),
    ]
    with socket.create_server(("127.0.0.1", ports[0])), socket.create_server(("127.0.0.1", ports[1])):
        # when they start again
        servers = Servers(state)
        with servers as after:
            # then the data are there, on new ports, and the untouched port stayed
            assert read_back(after) == (42, 3)
            assert after.valkey_url == before.valkey_url
            assert after.kafka_bootstrap != before.kafka_bootstrap
            pids = servers.pids()
    # and the stop leaves no process behind, PostgreSQL with a checkpoint
    assert [fingerprint_process(pid) for pid in pids.values()] == [None, None, None]
    assert "database system is shut down" in (state / "log" / "postgres.log").read_text().splitlines()[-1]


def test_killed_servers_come_back_on_the_same_address_with_their_data(state: Path) -> None:
    servers = Servers(state)
    with servers as addresses:
        write_everywhere(addresses)
        before = servers.pids()
        for name in ("postgres", "valkey", "kafka"):
            servers.kill(name)
            assert fingerprint_process(before[name]) is None
            servers.restart(name)
        assert servers.addresses == addresses
        assert not set(before.values()) & set(servers.pids().values())
        assert read_back(addresses) == (42, 3)
        with redis.Redis.from_url(addresses.valkey_url) as client:
            assert client.dbsize() == 0


def test_two_instances_side_by_side_do_not_meet_and_one_folder_has_one_instance(
    servers: Addresses, state: Path
) -> None:
    own = Servers(state)
    with own as addresses:
        assert addresses.kafka_bootstrap != servers.kafka_bootstrap
        assert find_system(addresses) != find_system(servers)
        with pytest.raises(ServerFailed, match=r"in use by process \d+: stop that one"):
            Servers(state).start()
        assert find_system(addresses)  # the refused one took nothing down


def find_system(addresses: Addresses) -> int:
    with psycopg.connect(addresses.postgres_dsn) as connection:
        row = connection.execute("SELECT system_identifier FROM pg_control_system()").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shared_buffers": "plenty"}, "postgres ended at once.*invalid value"),
        ({"fsync": "off"}, "has fsync = off: set it to on"),
        ({"max_slot_wal_keep_size": "-1"}, "no max_slot_wal_keep_size"),
    ],
)
def test_an_unfit_server_is_one_clear_error_and_leaves_nothing(
    servers: Addresses, state: Path, settings: dict[str, str], message: str
) -> None:
    others = External(None, servers.valkey_url, servers.kafka_bootstrap)
    refused = Servers(state, others, postgres_settings=settings)
    with pytest.raises(ServerFailed, match=f"(?s){message}"):
        refused.start()
    assert refused.pids() == {}
    with Servers(state, others) as addresses:  # and the folder is usable after
        assert find_system(addresses)


def test_external_servers_are_used_as_they_are(servers: Addresses, state: Path) -> None:
    external = External(servers.postgres_dsn, servers.valkey_url, servers.kafka_bootstrap)
    own = Servers(state, external)
    with own as addresses:
        assert addresses == servers
        assert own.pids() == {}
    assert find_system(servers)  # stop() left them alone


@pytest.mark.parametrize(
    "wrong",
    [
        External("postgresql://me:hidden@127.0.0.1:1/x"),
        External(valkey_url="redis://:hidden@127.0.0.1:1/0"),
        External(kafka_bootstrap="127.0.0.1:1"),
    ],
)
def test_a_missing_external_server_is_named_without_its_password(
    servers: Addresses, state: Path, wrong: External
) -> None:
    external = External(
        wrong.postgres_dsn or servers.postgres_dsn,
        wrong.valkey_url or servers.valkey_url,
        wrong.kafka_bootstrap or servers.kafka_bootstrap,
    )
    with pytest.raises(ServerFailed, match=r"127\.0\.0\.1:1\b.* can't be used: .*start it or correct") as refusal:
        Servers(state, external).start()
    assert "hidden" not in str(refusal.value)
    assert "\n" not in str(refusal.value)
