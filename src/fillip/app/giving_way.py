"""Processes that no decision and no push waits for let the others run first where a machine has too few cores for all."""

import os
from contextlib import suppress
from pathlib import Path

NICE = 3
AUTOGROUP = Path("/proc/self/autogroup")


def give_way() -> None:
    """From now on, this process and what it starts. Not for a process that has threads already: they stay as they are.

    Where Linux weighs sessions, and processes within each of them only, the session too if there is nobody else's process in it.
    """
    os.setpriority(os.PRIO_PROCESS, 0, max(NICE, os.getpriority(os.PRIO_PROCESS, 0)))
    if os.getsid(0) == os.getpid():
        with suppress(OSError):  # another system, or one that does not weigh sessions
            AUTOGROUP.write_text(str(NICE), encoding="ascii")
