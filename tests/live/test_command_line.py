"""`fillip` as a person at a terminal meets it: one clear line when something is in the way, and a clean stop."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fillip.app.demo.client import ApiClient

from .running import choose_ports

pytestmark = pytest.mark.xdist_group("live")

FILLIP = [sys.executable, "-m", "fillip.app.cli"]
WITHIN_S = 90


def run_fillip(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, without any settings in the environment."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("FILLIP_")}
    return subprocess.run([*FILLIP, *arguments], capture_output=True, text=True, timeout=WITHIN_S, env=bare)


def assert_one_clear_line(done: subprocess.CompletedProcess[str], *said: str) -> None:
    assert done.returncode == 1
    lines = [line for line in done.stderr.strip().splitlines() if line.startswith("fillip:")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for part in said:
        assert part in lines[0]


@contextmanager
def running_up(state: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`fillip up` in a process of its own, and the API's URL that it printed; killed if it still runs at the end."""
    ports = [part for name, port in choose_ports().items() for part in (f"--{name}-port", str(port))]
    with subprocess.Popen([*FILLIP, "up", "--state", str(state), *ports], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            said = []
            for line in process.stderr:
                said.append(line)
                if found := re.search(r"API +(http://\S+)/docs", line):
                    break
            assert found, "".join(said)
            yield process, found[1]
        finally:
            if process.poll() is None:
                process.kill()


def press_ctrl_c(process: subprocess.Popen[str]) -> str:
    """Interrupt it, wait for its end, give what it said last."""
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=WITHIN_S)[1]
    assert process.returncode == 0, rest
    return rest


def test_ctrl_c_stops_all_and_starting_again_resumes(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with running_up(state) as (process, api):
        key = run_fillip("tenant", "create", "acme", "--state", str(state)).stdout.strip()
        ApiClient(api, key).put("/v1/actions/BUY", {"schema": {"type": "object", "properties": {}}})
        quotas = run_fillip("tenant", "quotas", "acme", "lists=3", "--state", str(state)).stdout
        assert re.search(r"^lists +3 +\(default 100\) +0 used$", quotas, re.MULTILINE), quotas
        assert_one_clear_line(run_fillip("tenant", "quotas", "acme", "list=3", "--state", str(state)), "list")
        assert_one_clear_line(run_fillip("up", "--state", str(state)), str(state), str(process.pid))
        assert "the state is kept" in press_ctrl_c(process)
    assert find_processes(state) == []

    with running_up(state) as (process, api):
        assert ApiClient(api, key).get("/v1/actions/BUY")["name"] == "BUY"
        press_ctrl_c(process)
    assert find_processes(state) == []


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run_fillip("up", "--state", str(tmp_path / "state"), "--api-port", port)
    assert_one_clear_line(done, port, "in use")
    assert find_processes(tmp_path) == []


@pytest.mark.parametrize("process", ["api", "worker", "publish", "sweep", "gateway", "analyse", "migrate"])
def test_a_missing_setting_is_named(process: str) -> None:
    assert_one_clear_line(run_fillip(process), "FILLIP_POSTGRES_DSN")


def test_a_server_that_is_away_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
    dsn = f"postgresql://fillip:secret@{address}/fillip"
    done = run_fillip("up", "--state", str(tmp_path / "state"), "--postgres-dsn", dsn)
    assert_one_clear_line(done, "PostgreSQL", address)
    assert "secret" not in done.stderr


def test_nothing_runs_here(tmp_path: Path) -> None:
    assert_one_clear_line(run_fillip("tenant", "create", "acme", "--state", str(tmp_path)), "fillip up")


def find_processes(folder: Path) -> list[str]:
    """Command lines that name the folder: servers that were left behind."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # ended meanwhile
        if str(folder) in command and str(os.getpid()) != entry.parent.name:
            found.append(command)
    return found
