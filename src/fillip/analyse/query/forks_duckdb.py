"""Begins the processes that run tenants' queries: `python -m fillip.analyse.query.forks_duckdb`, with a socket as stdin.

To import what a query needs takes half a second and more of a core, so one process does it once, tells by an octet that it is ready, and
forks one for each query. It opens no database, sees no task and no file of a tenant, and has one thread: each fork begins as it
began. With each message come four files: the task, where to write the outcome and what went wrong, and a socket that tells of the
fork: by its end that it is to be killed, from here how it ended. All are killed when the socket of this process ends.
"""

import gc
import os
import selectors
import signal
import socket
import sys
import traceback
from contextlib import suppress

from fillip.analyse.query import sandbox_duckdb
from fillip.analyse.query.statement import check_statement

STANDARD_FILES = 3


class Forks:
    """The forks that run, each with the socket that tells of it."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._running: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._woken, waking = socket.socketpair()
        for each in (self._woken, waking):
            each.setblocking(False)
        self._waking = waking  # open as long as this is
        signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for each in (control, self._woken):
            self._selector.register(each, selectors.EVENT_READ)

    def serve(self) -> None:
        """Until the control socket ends."""
        is_open = True
        while is_open:
            for key, _ in self._selector.select():
                if key.fileobj is self._control:
                    is_open = self._begin()
                elif key.fileobj is self._woken:
                    self._woken.recv(4096)
                    self._reap()
                else:
                    self._kill(key.data)
        for pid in self._running:
            os.kill(pid, signal.SIGKILL)

    def _begin(self) -> bool:
        """Fork for one task; False: nobody will ask for more."""
        octets, files, _, _ = socket.recv_fds(self._control, 1, STANDARD_FILES + 1)
        if not octets:
            return False
        pid = os.fork()
        if pid == 0:
            _run(files)
        *standard, telling = files
        for file in standard:
            os.close(file)
        self._running[pid] = socket.socket(fileno=telling)
        self._selector.register(self._running[pid], selectors.EVENT_READ, pid)
        return True

    def _kill(self, pid: int) -> None:
        """Nobody waits for it any more. As long as it is not reaped its number is nobody else's."""
        if pid in self._running:
            self._selector.unregister(self._running[pid])
            os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            telling = self._running.pop(pid)
            with suppress(KeyError):
                self._selector.unregister(telling)
            with suppress(OSError), telling:
                telling.send(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))


def _run(files: list[int]) -> None:
    """Answer one task with these files and no others; does not return."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        for number, file in enumerate(files[:STANDARD_FILES]):
            os.dup2(file, number)
        os.closerange(STANDARD_FILES, os.sysconf("SC_OPEN_MAX"))
        sandbox_duckdb.main()
        sys.stdout.flush()
        code = 0
    except BaseException:  # noqa: BLE001 - it ends here, whatever it was
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def main() -> None:
    """Import, then fork for whoever holds the other end of stdin."""
    control = socket.socket(fileno=os.dup(0))
    check_statement("SELECT user_id FROM events", frozenset({"events"}))  # what is loaded when first used is loaded now
    gc.collect()
    gc.freeze()
    control.send(b".")
    Forks(control).serve()
    os._exit(0)  # the libraries would tell at length what they leave behind


if __name__ == "__main__":
    main()
