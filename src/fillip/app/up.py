"""`fillip up`: embedded servers and all processes of Fillip under one parent, in one state folder."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from fillip.app.prepare import prepare
from fillip.app.running import forget_running, note_running
from fillip.app.settings import KAFKA_SECURITY, PROCESSES, Settings, name_dsn
from fillip.core.errors import Crash
from fillip.embedded.addresses import Addresses, External
from fillip.embedded.patience import Patience
from fillip.embedded.ports import check_free, choose_free_port, claim_port, find_port_owner
from fillip.embedded.process import SPAWN, Report
from fillip.embedded.servers import Servers
from fillip.migrations import ROLES

DOORS = {"api": "api_port", "gateway": "gateway_port", "analyse": "analyse_port"}
USUAL_PORTS = {"api": 8080, "gateway": 8081, "analyse": 8082}
USUAL_METRICS_PORT = 8090
"""Of the first process; the others follow. One that is taken is replaced by a free one."""
EMBEDDED_PARTITIONS = 2
"""Of each topic that is keyed by user: as many workers find work. The broker's cost goes by requests, and a producer sends one a partition."""
READY_WITHIN_S = 90
STOP_WITHIN_S = 10


@dataclass(frozen=True)
class Doors:
    """Base URLs of a running set."""

    api: str
    gateway: str
    analyse: str


class Stack:
    """Servers and processes of one state folder; `with` starts and stops them. Not for several threads."""

    def __init__(
        self, state_dir: Path, report: Report, ports: Mapping[str, int | None], given: Settings | None = None
    ) -> None:
        """`ports` by process; None takes the usual port, or a free one where that is taken.

        Servers whose address is `given` are used as they are; the others are embedded.
        """
        self.state_dir = state_dir.absolute()
        self._report = report
        self._ports = dict(ports)
        self._given = given or Settings()
        self._servers = Servers(self.state_dir, find_external(self._given), report)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._patience = Patience()

    def __enter__(self) -> "Stack":
        ports = {name: _choose_port(name, self._ports.get(name)) for name in DOORS}
        self.metrics_ports = _choose_metrics_ports(self._given.metrics_port)
        addresses = self._servers.start()
        try:
            self.settings = self._note(addresses, ports)
            self._report("schema", "migrating")
            prepare(self.settings)
            self._report("schema", "ready")
            for name in PROCESSES:
                self._report(name, "starting")
                self.spawn(name)
            for name in PROCESSES:
                self._wait_for(name)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def doors(self) -> Doors:
        """Where the running processes answer."""
        host = self.settings.host
        return Doors(
            f"http://{host}:{self.settings.api_port}",
            f"ws://{host}:{self.settings.gateway_port}",
            f"http://{host}:{self.settings.analyse_port}",
        )

    def pids(self) -> dict[str, int]:
        """Process name → pid, servers included."""
        return {name: child.pid for name, child in self._children.items()} | self._servers.pids()

    def spawn(self, name: str) -> None:
        """Start one process of Fillip; its log is in the state folder. It dies with this parent."""
        parent = [str(os.getpid()), str(int(signal.SIGTERM)), "direct"]
        command = [sys.executable, "-I", "-S", str(SPAWN), *parent, sys.executable, "-m", "fillip.app.cli", name]
        with (self.state_dir / "log" / f"{name}.log").open("ab") as out:
            self._children[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,  # Ctrl-C reaches the parent alone, which stops all in order
                env=self.build_environment(name),
            )

    def build_environment(self, name: str) -> dict[str, str]:
        """The environment of a process: ours without settings and secrets, and of those what it needs itself."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("FILLIP_", "PG"))}
        own = {"FILLIP_METRICS_PORT": str(self.metrics_ports[name])}
        cache = {key: os.environ[key] for key in ("FILLIP_CACHE",) if key in os.environ}
        return kept | cache | self.settings.list_for(name) | own

    def kill(self, name: str) -> None:
        """Kill -9 one process of Fillip, as a crash would; `revive` starts it again."""
        self._children[name].kill()
        self._children[name].wait()

    def revive(self) -> list[str]:
        """Start again every process and every embedded server that ended; their names.

        What keeps ending is started again after a pause that doubles, up to half a minute.
        """
        now_s = time.monotonic()
        ended = [name for name, child in self._children.items() if child.poll() is not None]
        due = [name for name in ended if self._patience.allows(name, now_s)]
        for name in due:
            said = _read_last_line(self.state_dir / "log" / f"{name}.log")
            self._report(name, f"ended with code {self._children[name].returncode}, starting it again: {said}")
            self._patience.note_start(name, now_s)
            self.spawn(name)
        return self._servers.revive() + due

    def stop(self) -> None:
        """End the processes from the source to the ledger, then the servers; may be called twice."""
        for name in ("api", "worker", "cohort", "sweep", "publish", "gateway", "analyse"):
            if (child := self._children.pop(name, None)) and child.poll() is None:
                child.terminate()
                try:
                    child.wait(STOP_WITHIN_S)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
        forget_running(self.state_dir)
        self._servers.stop()

    def _note(self, addresses: Addresses, ports: Mapping[str, int]) -> Settings:
        changes: dict[str, object] = {
            "postgres_dsn": addresses.postgres_dsn,
            "valkey_url": addresses.valkey_url,
            "kafka_bootstrap": addresses.kafka_bootstrap,
            "operator_key": self._given.operator_key or _read_key(self.state_dir / "operator.key", "fo_"),
            "analyse_key": self._given.analyse_key or _read_key(self.state_dir / "analyse.key", "fa_"),
            "state_dir": self.state_dir,
            "metrics_port": None,  # each process has its own
            **{door: ports[name] for name, door in DOORS.items()},
        }
        outside = find_external(self._given)  # what is set for a server that is embedded after all is not for it
        if outside.postgres_dsn is None:
            changes |= dict.fromkeys((*map(name_dsn, ROLES), "postgres_ca", "postgres_cert", "postgres_key"))
        if outside.valkey_url is None:
            changes |= dict.fromkeys(("valkey_ca", "valkey_cert", "valkey_key"))
        if outside.kafka_bootstrap is None:
            changes |= dict.fromkeys(KAFKA_SECURITY)
            if "partitions" not in self._given.model_fields_set:
                changes["partitions"] = EMBEDDED_PARTITIONS
        settings = self._given.model_copy(update=changes)
        note_running(self.state_dir, settings)
        return settings

    def _wait_for(self, name: str) -> None:
        """Return when the process is ready and its ports are its own."""
        deadline, child = time.monotonic() + READY_WITHIN_S, self._children[name]
        ports = [self.metrics_ports[name], *(getattr(self.settings, DOORS[name]) for _ in [0] if name in DOORS)]
        while not all(_answers(f"http://{self.settings.host}:{port}/readyz") and _holds(child, port) for port in ports):
            if child.poll() is not None or time.monotonic() > deadline:
                raise Crash(f"{name} did not start: {_read_last_line(self.state_dir / 'log' / f'{name}.log')}")
            time.sleep(0.05)
        self._report(name, "ready")


def _holds(child: subprocess.Popen[bytes], port: int) -> bool:
    """Whether it is our own child that listens there, not another instance that was quicker."""
    owner = find_port_owner(port)
    return owner is None or owner.endswith(f"(pid {child.pid})")


def _choose_port(name: str, wanted: int | None) -> int:
    if wanted is not None and not claim_port(wanted) and not check_free(wanted):
        raise Crash(f"port {wanted} for {name} is in use: stop what uses it, or choose another with --{name}-port")
    if wanted is None and not claim_port(USUAL_PORTS[name]):
        return choose_free_port()
    return wanted or USUAL_PORTS[name]


def _choose_metrics_ports(first: int | None) -> dict[str, int]:
    """A port for each process, from `first` on; without it the usual ones, or free ones where those are taken."""
    ports = {name: (first or USUAL_METRICS_PORT) + at for at, name in enumerate(PROCESSES)}
    for name, port in ports.items():
        if not claim_port(port):
            if first is not None:
                raise Crash(f"port {port} for the metrics of {name} is in use: choose others with --metrics-port")
            ports[name] = choose_free_port()
    return ports


def find_external(given: Settings) -> External:
    """The servers whose addresses are given."""
    named = given.model_fields_set
    return External(
        given.postgres_dsn,
        given.valkey_url if "valkey_url" in named else None,
        given.kafka_bootstrap if "kafka_bootstrap" in named else None,
        given.kafka_security,
    )


def _read_key(path: Path, prefix: str) -> str:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(prefix + secrets.token_urlsafe(32), encoding="ascii")
    return path.read_text(encoding="ascii")


def _answers(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310  # our own
        return bool(answer.status == 200)
    return False


def _read_last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
    return f"{lines[-1] if lines else 'it said nothing'} (log: {path})"


@contextlib.contextmanager
def stop_on_signals() -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into KeyboardInterrupt, so that `with` blocks clean up.

    SIGINT too where it is ignored, as a shell has it for what a script starts in the background. SIGHUP not where it is
    ignored: that is what `nohup` asks for.
    """

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
