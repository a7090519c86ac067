"""A set whose processes begin again at once: each is a fork of one process that has imported everything, and begins as `fillip NAME`.

`python -m tests.proof.forking` is that process: for each line of JSON on its input it forks, and prints the pid.
"""

import ctypes
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from confluent_kafka.admin import AdminClient

from fillip.app.up import Stack
from tests.live.running import choose_ports

PR_SET_PDEATHSIG = 1
LOOK_EVERY_S = 0.005


class Forked:
    """A child of the forking process, with what a Stack asks of a Popen."""

    returncode: int | None = None

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        """-9 once it has ended, whatever ended it."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            self.returncode = -9
        return self.returncode

    def kill(self) -> None:
        """Kill -9."""
        os.kill(self.pid, signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to stop."""
        os.kill(self.pid, signal.SIGTERM)

    def wait(self, timeout: float = 60.0) -> int:
        """Return when it has ended. Raises TimeoutExpired."""
        give_up_at = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > give_up_at:
                raise subprocess.TimeoutExpired("fillip", timeout)
            time.sleep(LOOK_EVERY_S)
        return code


class ForkingStack(Stack):
    """Stack."""

    _forking: "subprocess.Popen[bytes] | None" = None

    def spawn(self, name: str) -> None:
        """Start one process; it dies with the forking process, and that with this one."""
        if self._forking is None:
            command = [sys.executable, "-m", "tests.proof.forking"]
            self._forking = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        log = str(self.state_dir / "log" / f"{name}.log")
        wanted = {"name": name, "log": log, "environment": self.build_environment(name)}
        ordered, answered = cast(Any, self._forking.stdin), cast(Any, self._forking.stdout)
        ordered.write(json.dumps(wanted).encode() + b"\n")
        ordered.flush()
        self._children[name] = cast(Any, Forked(int(answered.readline())))

    def kill(self, name: str) -> None:
        """Kill -9, after which a worker's group is told at once that it is gone: else it would be waited for, for 6 s."""
        super().kill(name)
        if name == "worker":
            bootstrap = self.settings.kafka_bootstrap
            for group_id, member_id in list_members(bootstrap):
                if group_id.endswith("worker"):
                    leave_group(bootstrap, group_id, member_id)

    def stop(self) -> None:
        """See Stack."""
        super().stop()
        if self._forking is not None:
            self._forking.communicate()
            self._forking = None


@contextmanager
def forking_stack() -> Iterator[Stack]:
    """A stack on free ports in a folder of its own, which goes with it."""
    with (
        tempfile.TemporaryDirectory(prefix="fillip-live-") as folder,
        ForkingStack(Path(folder) / "state", lambda step, detail: None, choose_ports()) as stack,
    ):
        yield stack


def list_members(bootstrap: str) -> Iterator[tuple[str, str]]:
    """(group, member) of all groups that have any."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    groups = [each.group_id for each in admin.list_consumer_groups().result().valid]
    for group_id, asked in (admin.describe_consumer_groups(groups) if groups else {}).items():
        for member in asked.result().members:
            yield group_id, member.member_id


def leave_group(bootstrap: str, group_id: str, member_id: str) -> None:
    """Say for a member that it leaves (ConsumerGroupHeartbeat with epoch -1, KIP-848)."""
    host, port = urlsplit(f"//{bootstrap}").hostname, urlsplit(f"//{bootstrap}").port
    head = struct.pack(">hhih", 68, 0, 1, -1) + b"\0"
    body = (
        _write_text(group_id)
        + _write_text(member_id)
        + struct.pack(">i", -1)
        + b"\0\0"
        + struct.pack(">i", -1)
        + b"\0" * 4
    )
    with socket.create_connection((host, port)) as connection:
        connection.sendall(struct.pack(">i", len(head + body)) + head + body)
        answer = connection.recv(4096)
    error = struct.unpack(">h", answer[13:15])[0]
    assert error in (0, 25), answer  # 25: it is gone already


def _write_text(text: str) -> bytes:
    """A compact string."""
    data = text.encode()
    assert len(data) < 127
    return bytes([len(data) + 1]) + data


def main() -> None:
    """Import everything, then fork for each line of the input until it ends."""
    import uvloop  # noqa: F401

    import fillip.app.api
    import fillip.app.processes
    import fillip.app.publish
    import fillip.app.worker  # noqa: F401
    from fillip.app import cli

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    for line in sys.stdin:
        wanted = json.loads(line)
        if pid := os.fork():
            print(pid, flush=True)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
        with Path(wanted["log"]).open("ab") as out, Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), 0)
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        os.environ.clear()
        os.environ.update(wanted["environment"])
        sys.argv = ["fillip", wanted["name"]]
        cli.main()
        sys.exit(0)


if __name__ == "__main__":
    main()
