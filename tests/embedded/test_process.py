"""What happens to the children when their parent is interrupted or killed, and as whom they run."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from fillip.embedded.addresses import Addresses, External
from fillip.embedded.errors import ServerFailed
from fillip.embedded.ports import choose_free_port
from fillip.embedded.postgres import Postgres, choose_identity
from fillip.embedded.process import Child, Identity, fingerprint_process, run_tool
from fillip.embedded.servers import Servers
from fillip.embedded.state import StateFolder

HOLD = """
import sys, time
from pathlib import Path
from fillip.embedded.servers import Servers
with Servers(Path(sys.argv[1])):
    print("up", flush=True)
    time.sleep(600)
"""
GONE_WITHIN_S = 30.0


@pytest.fixture
def held_state() -> Iterator[Path]:
    # not tmp_path: user nobody may not enter pytest's folders
    with tempfile.TemporaryDirectory(prefix="fillip-state-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "state"


@pytest.fixture
def parent(held_state: Path) -> Iterator[subprocess.Popen[str]]:
    """A process in a session of its own that holds the servers of `held_state`."""
    command = [sys.executable, "-c", HOLD, str(held_state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
        process.kill()


def list_alive(held_state: Path) -> list[int]:
    noted = json.loads((held_state / "pids.json").read_text()).values()
    return [pid for pid, mark in noted if fingerprint_process(pid) == mark]


def wait_until_gone(held_state: Path) -> None:
    deadline = time.monotonic() + GONE_WITHIN_S
    while list_alive(held_state):
        assert time.monotonic() < deadline, f"still there: {list_alive(held_state)}"
        time.sleep(0.05)


def test_children_die_with_a_killed_parent_and_the_next_start_resumes(
    held_state: Path, parent: subprocess.Popen[str]
) -> None:
    assert len(list_alive(held_state)) == 3
    parent.kill()
    parent.wait()
    with Servers(held_state) as addresses:  # at once: it waits for the old ones itself
        with psycopg.connect(addresses.postgres_dsn) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert len(list_alive(held_state)) == 3
    wait_until_gone(held_state)


def test_ctrl_c_in_the_terminal_stops_all_in_order(held_state: Path, parent: subprocess.Popen[str]) -> None:
    os.killpg(parent.pid, signal.SIGINT)
    parent.wait(GONE_WITHIN_S)
    assert list_alive(held_state) == []
    assert "database system is shut down" in (held_state / "log" / "postgres.log").read_text().splitlines()[-1]
    assert (held_state / "lock").read_text() == ""


IDENTITIES: list[Identity] = ["namespace", "nobody"] if os.geteuid() == 0 else ["direct"]


@pytest.mark.parametrize("identity", IDENTITIES)
def test_postgresql_runs_whoever_we_are(held_state: Path, identity: Identity) -> None:
    folder = StateFolder(held_state)
    folder.acquire()
    (held_state / "log").mkdir()
    server = Postgres(folder, choose_free_port(), {}, identity)
    server.prepare()
    child = Child(server, server.build_command(), held_state / "log" / "postgres.log")
    try:
        child.wait_ready()
        server.complete()
        with psycopg.connect(server.address) as connection:
            assert connection.execute("SHOW wal_level").fetchone() == ("logical",)
    finally:
        child.stop()
        folder.release()


def test_a_way_to_run_postgresql_is_found() -> None:
    assert choose_identity() in IDENTITIES


def test_a_failing_tool_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match=r"sh failed with code 3.*\n  no such luck"):
        run_tool(["/bin/sh", "-c", "echo no such luck; exit 3"], tmp_path / "tool.log")


def test_a_stale_pid_file_of_a_reused_pid_does_not_stop_postgresql(servers: Addresses, held_state: Path) -> None:
    others = External(None, servers.valkey_url, servers.kafka_bootstrap)
    with Servers(held_state, others):
        pass
    # given: the pid in the file is now another program's, as after a restart of a container
    with subprocess.Popen(["sleep", "60"]) as stranger:
        (held_state / "postgres" / "postmaster.pid").write_text(f"{stranger.pid}\n{held_state}/postgres\n")
        try:
            with Servers(held_state, others) as addresses, psycopg.connect(addresses.postgres_dsn) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
        finally:
            stranger.kill()
