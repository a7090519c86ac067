"""Starts, watches and stops the three servers of one state folder."""

import contextlib
import signal
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType

from fillip.embedded import jars, kafka, postgres, valkey
from fillip.embedded.addresses import Addresses, External, describe
from fillip.embedded.errors import ServerFailed
from fillip.embedded.patience import Patience
from fillip.embedded.process import Child, Report, Server, end_process
from fillip.embedded.state import StateFolder

STOP_ORDER = ("kafka", "valkey", "postgres")  # the source first, the ledger last
PORTS = ["postgres", "valkey", "kafka", "kafka_controller"]


def keep_silent(step: str, detail: str) -> None:
    """The report that tells nobody."""


class Servers:
    """PostgreSQL, Valkey and Kafka of one state folder: started together, stopped in order.

    Not for use by several threads at once. The children die with this process, however it ends.
    """

    def __init__(
        self,
        state_dir: Path,
        external: External = External(),
        report: Report = keep_silent,
        *,
        postgres_settings: Mapping[str, str] | None = None,
    ) -> None:
        """`report(step, detail)` is called from other threads; `postgres_settings` are added to ours."""
        self._folder = StateFolder(state_dir)
        self._external = external
        self._report = report
        self._postgres_settings = postgres_settings or {}
        self._children: dict[str, Child] = {}
        self._adding = threading.Lock()
        self._stopping = threading.Event()
        self._patience = Patience()
        self._revivals: dict[str, Future[None]] = {}
        # The children die with the thread that started them: its threads live until stop().
        self._pool = ThreadPoolExecutor(3, "fillip-servers")

    def start(self) -> Addresses:
        """Bring all three up and return their addresses; raises ServerFailed, with nothing left running."""
        try:
            self._folder.acquire()
            (self._folder.path / "log").mkdir(exist_ok=True)
            self._end_leftovers()
            self.addresses = self._start_all(self._folder.allot_ports(PORTS))
        except BaseException:
            self.stop()
            raise
        return self.addresses

    def stop(self) -> None:
        """Stop what runs, in order, and give the folder back; may be called twice."""
        self._stopping.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._stop_children()
        self._pool.shutdown()
        self._stop_children()  # one that was being started while we stopped the others
        self._folder.release()

    def pids(self) -> dict[str, int]:
        """Return name → pid of the embedded servers ('postgres', 'valkey', 'kafka')."""
        return {name: child.pid for name, child in self._children.items()}

    def kill(self, name: str) -> None:
        """Kill -9 an embedded server with all its processes, as a crash would."""
        self._children[name].kill()

    def restart(self, name: str) -> None:
        """Start an embedded server again on the same data and port; one that runs is stopped first."""
        child = self._children[name]
        if child.is_running():
            child.stop()
        self._pool.submit(self._launch, child.server).result()

    def revive(self) -> list[str]:
        """Begin to start again, on the same data and port, every embedded server that has ended; their names.

        Returns at once: a start takes seconds. One that fails is reported, and tried again by a later call.
        """
        now_s = time.monotonic()
        for name, revival in list(self._revivals.items()):
            if revival.done():
                del self._revivals[name]
                if error := revival.exception():
                    self._report(name, f"could not be started again: {error}")
        with self._adding:
            ended = [child for name, child in self._children.items() if not child.is_running()]
        due = [c for c in ended if c.server.name not in self._revivals and self._patience.allows(c.server.name, now_s)]
        for child in due:
            self._report(child.server.name, f"ended with code {child.code}, starting it again")
            self._patience.note_start(child.server.name, now_s)
            self._revivals[child.server.name] = self._pool.submit(self._launch, child.server)
        return [child.server.name for child in due]

    def __enter__(self) -> Addresses:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_all(self, ports: dict[str, int]) -> Addresses:
        outside = self._external
        tasks = [
            self._pool.submit(self._start_postgres, outside.postgres_dsn, ports["postgres"]),
            self._pool.submit(self._start_valkey, outside.valkey_url, ports["valkey"]),
            self._pool.submit(self._start_kafka, outside.kafka_bootstrap, ports["kafka"], ports["kafka_controller"]),
        ]
        wait(tasks, return_when="FIRST_EXCEPTION")
        for task in tasks:
            if task.done() and not task.cancelled():
                task.result()  # raises what ended it, the others may still be at work
        return Addresses(*(task.result() for task in tasks))

    def _start_postgres(self, external: str | None, port: int) -> str:
        if external is not None:
            postgres.check_external(external)
            self._report("postgres", f"using {postgres.describe_dsn(external)}")
            return external
        server = postgres.Postgres(self._folder, port, self._postgres_settings, postgres.choose_identity())
        self._launch(server)
        return server.address

    def _start_valkey(self, external: str | None, port: int) -> str:
        if external is not None:
            valkey.check_external(external)
            self._report("valkey", f"using {describe('Valkey', external)}")
            return external
        server = valkey.Valkey(self._folder, port)
        self._launch(server)
        return server.address

    def _start_kafka(self, external: str | None, port: int, controller_port: int) -> str:
        if external is not None:
            kafka.check_external(external, self._external.kafka_security)
            self._report("kafka", f"using Kafka at {external}")
            return external
        server = kafka.Kafka(self._folder, port, controller_port, jars.build_java(self._report))
        self._launch(server)
        return server.address

    def _launch(self, server: Server) -> None:
        self._report(server.name, "starting")
        server.prepare()
        if self._stopping.is_set():
            raise ServerFailed(f"{server.name} was not started: stopping")
        child = Child(server, server.build_command(), self._folder.path / "log" / f"{server.name}.log")
        with self._adding:
            self._children[server.name] = child
            self._folder.note_children({name: (each.pid, each.fingerprint) for name, each in self._children.items()})
        child.wait_ready()
        server.complete()
        self._report(server.name, "ready")

    def _stop_children(self) -> None:
        for name in STOP_ORDER:
            if name in self._children:
                self._report(name, "stopping")
                self._children.pop(name).stop()

    def _end_leftovers(self) -> None:
        """End what a crash of an earlier parent left running: it would hold the data and the ports."""
        for name, (pid, fingerprint) in self._folder.read_children().items():
            how = signal.SIGINT if name == "postgres" else signal.SIGTERM
            with contextlib.suppress(PermissionError):
                end_process(pid, fingerprint, how)
