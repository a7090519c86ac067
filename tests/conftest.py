"""Real servers: one set a run, started when the first test asks; a database of its own for each test.

Fixtures: `servers` (Addresses), `database` (DSN of a migrated database of this test's own),
`new_database` (a context manager for more of them), `own_servers` (a set that a test may kill and restart).

Under pytest-xdist the controller owns the servers: a worker that needs them leaves a note in a shared folder,
the controller's thread starts them and leaves the addresses there.
"""

import contextlib
import fcntl
import json
import shutil
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import settings
from psycopg import sql

from fillip.embedded.addresses import Addresses
from fillip.embedded.servers import Servers

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A runner that was itself started in the background ignores Ctrl-C, and so would every process that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run: what fails here fails everywhere. `make accept` and `make proof` look for new ones. None is timed: how long
# examples may take to be drawn goes by the deadline too, and the first of a run reads the constants of all modules.
settings.register_profile("suite", derandomize=True, deadline=None)
settings.load_profile("suite")

TEMPLATE = "fillip_template"
START_WITHIN_S = 240.0  # the very first start fetches Kafka
POLL_S = 0.05

NewDatabase = Callable[[], AbstractContextManager[str]]
OwnServers = Callable[..., Servers]


class SharedServers:
    """The one set of servers of a run; lives in the process that pytest was called in."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fillip-test-"))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="shared-servers")
        self._thread.start()

    def close(self) -> None:
        """Stop the servers and remove everything."""
        self._over.set()
        self._thread.join()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _serve(self) -> None:
        while not (self.folder / "wanted").exists():
            if self._over.wait(POLL_S):
                return
        servers = Servers(self.folder / "state")
        try:
            write_whole(self.folder / "addresses.json", json.dumps(asdict(servers.start())))
        except Exception as error:  # told to every test that asks
            write_whole(self.folder / "failed", str(error))
            return
        self._over.wait()
        servers.stop()


def pytest_configure(config: pytest.Config) -> None:
    """Make ready to serve, in the controller (or the only process)."""
    if not hasattr(config, "workerinput"):
        config.stash[SHARED] = SharedServers()


@pytest.hookimpl(optionalhook=True)  # xdist may be absent
def pytest_configure_node(node: object) -> None:
    """Tell an xdist worker where the shared folder is."""
    shared = node.config.stash[SHARED]  # type: ignore[attr-defined]
    node.workerinput["fillip_shared"] = str(shared.folder)  # type: ignore[attr-defined]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what was started."""
    shared = config.stash.get(SHARED, None)
    if shared is not None:
        shared.close()


SHARED: pytest.StashKey[SharedServers] = pytest.StashKey()


def write_whole(file: Path, text: str) -> None:
    """Write a file so that no reader sees half of it."""
    made = file.with_suffix(".new")
    made.write_text(text)
    made.rename(file)


@pytest.fixture(scope="session")
def shared_folder(request: pytest.FixtureRequest) -> Path:
    """The folder through which all processes of this run talk."""
    workerinput = getattr(request.config, "workerinput", None)
    return Path(workerinput["fillip_shared"]) if workerinput else request.config.stash[SHARED].folder


@pytest.fixture(scope="session")
def servers(shared_folder: Path) -> Addresses:
    """The addresses of this run's PostgreSQL, Valkey and Kafka; not to be killed: see `own_servers`."""
    (shared_folder / "wanted").touch()
    deadline = time.monotonic() + START_WITHIN_S
    while not (shared_folder / "addresses.json").exists():
        if (shared_folder / "failed").exists():
            pytest.fail((shared_folder / "failed").read_text(), pytrace=False)
        assert time.monotonic() < deadline, f"no servers within {START_WITHIN_S} s"
        time.sleep(POLL_S)
    return Addresses(**json.loads((shared_folder / "addresses.json").read_text()))


@pytest.fixture
def own_servers() -> Iterator[OwnServers]:
    """A function that starts a set of servers of this test's own; returns the Servers, to kill and restart.

    Keywords go to Servers (external, postgres_settings). Takes about 4 s a set.
    """
    with contextlib.ExitStack() as stack:

        def start(**keywords: Any) -> Servers:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fillip-own-"))
            started = Servers(Path(folder) / "state", **keywords)
            stack.enter_context(started)
            return started

        yield start


@pytest.fixture(scope="session")
def new_database(servers: Addresses, shared_folder: Path) -> NewDatabase:
    """A function giving a context manager: the DSN (owner) of a fresh migrated database."""
    with (shared_folder / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one worker builds the template, the others find it
        build_template(servers.postgres_dsn)

    @contextlib.contextmanager
    def make() -> Iterator[str]:
        name = f"test_{uuid.uuid4().hex[:12]}"
        run_sql(servers.postgres_dsn, "CREATE DATABASE {} TEMPLATE {}", name, TEMPLATE)
        try:
            yield swap_database(servers.postgres_dsn, name)
        finally:
            drop_slots(servers.postgres_dsn, name)
            run_sql(servers.postgres_dsn, "DROP DATABASE {} WITH (FORCE)", name)

    return make


@pytest.fixture
def database(new_database: NewDatabase) -> Iterator[str]:
    """The DSN (owner) of a migrated database that only this test uses."""
    with new_database() as dsn:
        yield dsn


def build_template(dsn: str) -> None:
    """Create and migrate the template database when it is missing."""
    from fillip.migrations import migrate

    with psycopg.connect(dsn) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (TEMPLATE,)).fetchone():
            return
    run_sql(dsn, "CREATE DATABASE {}", "template_half_made")
    migrate(swap_database(dsn, "template_half_made"))
    run_sql(dsn, "ALTER DATABASE {} RENAME TO {}", "template_half_made", TEMPLATE)


def run_sql(dsn: str, statement: str, *names: str) -> None:
    """Run one statement outside a transaction; each {} takes a name."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def drop_slots(dsn: str, database: str) -> None:
    """Drop the replication slots of a database: they would keep it from being dropped."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for action in ("pg_terminate_backend(active_pid, 5000)", "pg_drop_replication_slot(slot_name)"):
            query = sql.SQL("SELECT {} FROM pg_replication_slots WHERE database = %s").format(sql.SQL(action))
            connection.execute(query, (database,))


def swap_database(dsn: str, name: str) -> str:
    """Return the DSN of another database on the same server."""
    return f"{dsn.rpartition('/')[0]}/{name}"
