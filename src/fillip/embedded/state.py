"""One state folder: its lock, the ports, passwords and children it remembers."""

import fcntl
import json
import os
import secrets
import shutil
from pathlib import Path
from typing import IO, Any

from fillip.embedded.errors import ServerFailed
from fillip.embedded.ports import choose_free_port, claim_port

LOWEST_FREE_BYTES = 1_000_000_000


class StateFolder:
    """Everything one instance keeps; made with mode 0700 where it is missing."""

    def __init__(self, path: Path, lowest_free_bytes: int = LOWEST_FREE_BYTES) -> None:
        self.path = path.absolute()
        self._lowest_free_bytes = lowest_free_bytes
        self._lock: IO[str] | None = None

    def acquire(self) -> None:
        """Take the folder for this process; raises ServerFailed when another has it or the disk is full."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self.path / "lock").open("a+", encoding="ascii")
        except OSError as error:
            raise ServerFailed(f"cannot write to the state folder {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise ServerFailed(
                f"the state folder {self.path} is in use by process {holder}: "
                "stop that one, or choose another state folder"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock
        free = shutil.disk_usage(self.path).free
        if free < self._lowest_free_bytes:
            self.release()
            raise ServerFailed(
                f"only {free // 1_000_000} MB free on the disk of {self.path}: free some, or choose another "
                f"state folder ({self._lowest_free_bytes // 1_000_000} MB are needed)"
            )

    def release(self) -> None:
        """Give the folder back; harmless when it is not held."""
        if self._lock is not None:
            self._lock.truncate(0)
            self._lock.close()
            self._lock = None

    def allot_ports(self, names: list[str]) -> dict[str, int]:
        """Return a free port for each name: the remembered one while it is free, else a new one."""
        remembered = self._read_json("ports.json")
        ports: dict[str, int] = {}
        for name in names:
            port = int(remembered.get(name, 0))
            if port == 0 or port in ports.values() or not claim_port(port):
                port = choose_free_port()
            ports[name] = port
        self._write_json("ports.json", {**remembered, **ports})
        return ports

    def locate_secret(self, name: str) -> Path:
        """Return the file of a password, made at random with mode 0600 at the first call."""
        file = self.path / f"{name}.password"
        if not file.exists():
            made = file.with_suffix(".new")
            made.touch(mode=0o600)
            made.write_text(secrets.token_urlsafe(24))
            made.rename(file)
        return file

    def read_children(self) -> dict[str, tuple[int, str]]:
        """Return name → (pid, fingerprint) of the children noted last."""
        return {name: (int(pid), str(mark)) for name, (pid, mark) in self._read_json("pids.json").items()}

    def note_children(self, children: dict[str, tuple[int, str]]) -> None:
        """Remember the running children, so that a later start can end what a crash left."""
        self._write_json("pids.json", children)

    def _read_json(self, name: str) -> dict[str, Any]:
        file = self.path / name
        if not file.exists():
            return {}
        found = json.loads(file.read_text())
        return dict(found)

    def _write_json(self, name: str, content: object) -> None:
        made = self.path / f"{name}.new"
        made.write_text(json.dumps(content, indent=1))
        made.replace(self.path / name)


def read_holder(path: Path) -> str | None:
    """Return the pid of the process that holds a state folder, or None when nobody does."""
    try:
        with (path / "lock").open(encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return lock.read().strip() or "unknown"
    except OSError:
        pass  # no such folder, or none of ours
    return None
