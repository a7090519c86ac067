"""What the benches run on: one set of real servers, a fresh database a run, processes and their CPU time."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from fillip.app.settings import Settings
from fillip.embedded.addresses import Addresses
from fillip.embedded.servers import Servers
from fillip.migrations import migrate
from fillip.stream.topics import Topics
from tests.bench.load import write_book
from tests.conftest import run_sql, swap_database

BOOK = "bench_book"
STOP_WITHIN_S = 15


class Site:
    """Servers, started when first asked for; `with` stops them and removes all they wrote."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        """`tell` says what goes on."""
        self.tell = tell
        self._stack = ExitStack()
        self._runs = 0

    def __enter__(self) -> "Site":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @cached_property
    def folder(self) -> Path:
        """A folder of our own."""
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="fillip-bench-")))

    @cached_property
    def addresses(self) -> Addresses:
        """Where the servers answer; with a database that holds the book of the load."""
        self.tell("starting PostgreSQL, Valkey and Kafka")
        addresses = self._stack.enter_context(Servers(self.folder / "state"))
        run_sql(addresses.postgres_dsn, "CREATE DATABASE {}", BOOK)
        migrate(swap_database(addresses.postgres_dsn, BOOK))
        write_book(swap_database(addresses.postgres_dsn, BOOK))
        return addresses

    @contextmanager
    def database(self) -> Iterator[str]:
        """The owner's DSN of a database with the book and nothing else."""
        dsn = self.addresses.postgres_dsn
        self._runs += 1
        name = f"bench_{self._runs}"
        run_sql(dsn, "CREATE DATABASE {} TEMPLATE {}", name, BOOK)
        try:
            yield swap_database(dsn, name)
        finally:
            run_sql(dsn, "DROP DATABASE {} WITH (FORCE)", name)

    @contextmanager
    def process(self, settings: Settings, *module: str) -> Iterator[subprocess.Popen[bytes]]:
        """A Python process `-m MODULE …` with these settings in its environment; ended afterwards."""
        given = settings.model_dump(mode="json", exclude_none=True, exclude={"allowed_origins"})
        environment = os.environ | {f"FILLIP_{name.upper()}": str(value) for name, value in given.items()}
        log = self.folder / f"{self._runs}-{module[0]}.log"
        with log.open("ab") as out:
            child = subprocess.Popen([sys.executable, "-m", *module], env=environment, stdout=out, stderr=out)
        try:
            yield child
        except AssertionError as error:
            raise AssertionError(f"{error}; it said: {log.read_text()[-1000:]}") from error
        finally:
            child.terminate()
            try:
                child.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def settings(self, dsn: str, topics: Topics, **more: Any) -> Settings:
        """Settings of a process on one run's database and topics."""
        return Settings.model_validate({
            "postgres_dsn": dsn,
            "valkey_url": self.addresses.valkey_url,
            "kafka_bootstrap": self.addresses.kafka_bootstrap,
            "topic_prefix": topics.prefix,
            "state_dir": self.folder,
            **more,
        })  # fmt: skip


def read_cpu_s(pid: int) -> float:
    """CPU seconds, user and system, that a process has used so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
