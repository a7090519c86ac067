"""Memory of running processes, from /proc."""

from collections.abc import Mapping
from pathlib import Path

from fillip.embedded.process import list_children
from fillip.figures import Figure, at_most, note

PROC = Path("/proc")
WHOLE_MB, WORKER_MB = 1_500, 300


def measure_memory(pids: Mapping[str, int]) -> list[Figure]:
    """Megabytes of each process with its children, and of the whole set; empty where there is no /proc (macOS).

    Of the whole set proportional sizes, so that a library that seven processes have mapped counts once; another instance on the
    machine takes its share of that. The sum of the processes' own figures counts it seven times, and is told beside it.
    """
    if not (PROC / "self" / "smaps_rollup").exists():
        return []
    sizes = {name: measure_tree(pid) / 1e6 for name, pid in pids.items()}
    figures = [
        at_most(f"memory: {name}", WORKER_MB, round(size, 1), "MB")
        if name == "worker"
        else note(f"memory: {name}", round(size, 1), "MB")
        for name, size in sizes.items()
    ]
    whole = sum(map(measure_shares, pids.values())) / 1e6
    return [
        *figures,
        at_most("memory: the whole set with its servers", WHOLE_MB, round(whole, 1), "MB"),
        note("memory: the same, libraries counted in each process", round(sum(sizes.values()), 1), "MB"),
    ]


def measure_tree(pid: int) -> int:
    """Bytes of a process: resident size; with children, where pages are shared (PostgreSQL), proportional sizes."""
    if _list_descendants(pid):
        return measure_shares(pid)
    return _read_kb(PROC / str(pid) / "status", "VmRSS:") * 1024


def measure_shares(pid: int) -> int:
    """Bytes of a process with its children, of each page that several have the share of each (PSS)."""
    tree = [pid, *_list_descendants(pid)]
    return sum(_read_kb(PROC / str(each) / "smaps_rollup", "Pss:") for each in tree) * 1024


def _list_descendants(pid: int) -> list[int]:
    children = [child for child, _ in list_children(pid)]
    return children + [grandchild for child in children for grandchild in _list_descendants(child)]


def _read_kb(path: Path, name: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)
