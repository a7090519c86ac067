"""The folder of the demo's servers: empty at the start, and never one that another instance holds."""

import shutil
from itertools import count
from pathlib import Path

from fillip.core.errors import Crash
from fillip.embedded.errors import ServerFailed
from fillip.embedded.state import StateFolder, read_holder

KEPT = {"lock", "ports.json", "pids.json"}
"""By these a crashed run's leftovers are found."""


def choose_state(wanted: Path) -> Path:
    """`wanted`, or wanted-2, wanted-3 … while another instance holds it; emptied.

    Raises Crash rather than empty a folder that is not Fillip's.
    """
    for number in count(1):
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        if _empty(folder):
            break
    return folder


def _empty(folder: Path) -> bool:
    """Empty the folder while holding its lock; False when another instance holds it."""
    if folder.exists() and any(folder.iterdir()) and not (folder / "lock").exists():
        raise Crash(f"{folder} holds other things than Fillip's state and would be emptied: choose another --state")
    state = StateFolder(folder)
    try:
        state.acquire()
    except ServerFailed:
        if read_holder(folder) is None:
            raise
        return False
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name not in KEPT:
            entry.unlink()
    state.release()
    return True
