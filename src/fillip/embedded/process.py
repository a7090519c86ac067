"""Children: started in a session of their own, watched until they answer, stopped, killed."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol

from fillip.embedded.errors import ServerFailed

Identity = Literal["direct", "namespace", "nobody"]
Report = Callable[[str, str], None]
"""Told a step and how far it is, for people; from any thread."""
SPAWN = Path(__file__).with_name("spawn.py")
READY_WITHIN_S = 60.0
STOPPED_WITHIN_S = 30.0
POLL_S = 0.02
LOG_LIMIT_BYTES = 5_000_000


class Server(Protocol):
    """What the launcher needs to know of one server."""

    name: str
    identity: Identity
    stop_signal: signal.Signals

    def prepare(self) -> None:
        """Do what must exist before the first start; does nothing later."""

    def build_command(self) -> list[str]:
        """Return the command line of the server."""

    def answers(self, pid: int) -> bool:
        """Tell whether the server with this pid, and no other, takes requests now; False also on errors."""

    def complete(self) -> None:
        """Do what needs the running server; raises ServerFailed when its settings are unfit."""


class Child:
    """One running server process."""

    def __init__(self, server: Server, command: Sequence[str], log: Path) -> None:
        self.server = server
        self.log = log
        if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
            log.replace(log.with_suffix(".old.log"))  # one run's log and the one before it remain
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                wrap_command(command, server.identity, server.stop_signal),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=build_environment(),
                start_new_session=True,  # a Ctrl-C in the terminal must reach only us
            )
        self.pid = self._process.pid
        self.fingerprint = fingerprint_process(self.pid) or ""

    def is_running(self) -> bool:
        """Tell whether the process lives."""
        return self._process.poll() is None

    @property
    def code(self) -> int | None:
        """What it ended with, the signal's number below 0; None while it lives."""
        return self._process.poll()

    def wait_ready(self) -> None:
        """Return when the server answers; raises ServerFailed with its last log lines otherwise."""
        deadline = time.monotonic() + READY_WITHIN_S
        while not self.server.answers(self.pid):
            if not self.is_running():
                raise ServerFailed(f"{self.server.name} ended at once{quote_log(self.log)}")
            if time.monotonic() > deadline:
                raise ServerFailed(
                    f"{self.server.name} did not answer within {READY_WITHIN_S:.0f} s{quote_log(self.log)}"
                )
            time.sleep(POLL_S)

    def stop(self) -> None:
        """End the process the clean way, after half a minute by force."""
        if self.is_running():
            self._process.send_signal(self.server.stop_signal)
        try:
            self._process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the process and its own children at once (SIGKILL), and wait until they are gone."""
        family = list_children(self.pid)
        self._process.kill()
        self._process.wait()
        for pid, mark in family:
            end_process(pid, mark, signal.SIGKILL)


def run_tool(command: Sequence[str], log: Path, identity: Identity = "direct") -> None:
    """Run a set-up program to its end; raises ServerFailed with what it said when it fails."""
    with log.open("wb") as output:
        result = subprocess.run(
            wrap_command(command, identity, signal.SIGTERM),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=build_environment(),
            start_new_session=True,
            check=False,
        )
    if result.returncode != 0:
        raise ServerFailed(f"{Path(command[0]).name} failed with code {result.returncode}{quote_log(log)}")


def wrap_command(command: Sequence[str], identity: Identity, death_signal: signal.Signals) -> list[str]:
    """Return the command line that ties a command to this process; see spawn.py."""
    tied = [sys.executable, "-I", "-S", str(SPAWN), str(os.getpid()), str(int(death_signal)), identity]
    return [*tied, *command]


def build_environment() -> dict[str, str]:
    """Return our environment without our secrets, and what would change a server's settings behind our back."""
    unwanted = ("FILLIP_", "PG", "KAFKA", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "LC_", "LANG")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def quote_log(log: Path) -> str:
    """Return the last lines of a log as the tail of an error message."""
    text = log.read_text(errors="replace").strip() if log.exists() else ""
    return "; last lines of {}:\n  {}".format(log, "\n  ".join(text.splitlines()[-8:] or ["(empty)"]))


def fingerprint_process(pid: int) -> str | None:
    """Return what tells this process from a later one with its pid; None when it is gone or a zombie."""
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return None if fields[0] in "ZX" else f"{boot}/{fields[19]}"
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip() or None


def list_children(parent: int) -> list[tuple[int, str]]:
    """Return (pid, fingerprint) of a process's direct children; empty where there is no /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            pid = int(stat.parent.name)
            found.append((pid, fingerprint_process(pid) or ""))
    return found


def end_process(pid: int, fingerprint: str, how: signal.Signals) -> None:
    """Signal exactly this process, if it still lives, and wait for its end; by force after half a minute."""
    deadline = time.monotonic() + STOPPED_WITHIN_S
    sent = False
    while fingerprint_process(pid) == fingerprint:
        if not sent or time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if sent else how)
            sent = True
        time.sleep(POLL_S)
