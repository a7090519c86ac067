"""What each process of a running set costs: CPU time and context switches, of PostgreSQL by whom its sessions serve."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import psycopg

from fillip.app.up import Stack

LEAST_S = 2e-6
"""Of CPU time an event: who takes less gets no row."""


class Cost(NamedTuple):
    """CPU seconds, and how often a thread was put in another's place."""

    cpu_s: float
    switches: int


NOTHING = Cost(0, 0)


class Costs:
    """Of a running set, since this was made (Linux)."""

    def __init__(self, stack: Stack) -> None:
        """`stack` is running."""
        self._dsn = stack.settings.owner_dsn
        self._pids = stack.pids()
        self._began = dict(self._look())
        self._ended = self._count_transactions()

    def read(self) -> tuple[dict[str, Cost], int]:
        """What each has cost so far, the dearest first; and how many transactions PostgreSQL has ended.

        A session of PostgreSQL counts as 'postgres for PROCESS (role)'. Of one that has ended meanwhile nothing is known.
        """
        names = {pid: name for name, pid in self._pids.items()} | self._name_sessions()
        costs = dict[str, Cost]()
        for pid, now in self._look():
            name, before = names.get(pid, "postgres: other"), self._began.get(pid, NOTHING)
            others = costs.get(name, NOTHING)
            cpu_s = others.cpu_s + now.cpu_s - before.cpu_s
            costs[name] = Cost(cpu_s, others.switches + now.switches - before.switches)
        by_cost = sorted(costs.items(), key=lambda each: each[1], reverse=True)
        return dict(by_cost), self._count_transactions() - self._ended

    def _look(self) -> Iterator[tuple[int, Cost]]:
        server = self._pids["postgres"]
        sessions = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        for pid in (*self._pids.values(), *map(int, sessions)):
            try:
                yield pid, read_cost(pid)
            except FileNotFoundError:  # it has just ended
                continue

    def _name_sessions(self) -> dict[int, str]:
        served = {port: name for name, pid in self._pids.items() for port in list_ports(pid)}
        query = "SELECT pid, client_port, usename, backend_type FROM pg_stat_activity"
        with psycopg.connect(self._dsn) as owner:
            return {
                pid: f"postgres for {served[port]} ({role})" if port in served else f"postgres: {kind}"
                for pid, port, role, kind in owner.execute(query)
            }

    def _count_transactions(self) -> int:
        with psycopg.connect(self._dsn) as owner:
            row = owner.execute("SELECT sum(xact_commit + xact_rollback)::bigint FROM pg_stat_database").fetchone()
        return int(row[0]) if row else 0


def read_cost(pid: int) -> Cost:
    """What a process has cost since it began, all its threads that still run. Raises FileNotFoundError."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    lines = (line for each in Path(f"/proc/{pid}/task").glob("*/status") for line in each.read_text().splitlines())
    switches = sum(int(line.rpartition("\t")[2]) for line in lines if "ctxt_switches" in line)
    return Cost((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), switches)


def list_ports(pid: int) -> set[int]:
    """Local ports of a process's connections by TCP."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
        except FileNotFoundError:  # just closed
            continue
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[9] in inodes}


def compare(first: Mapping[str, Cost], second: Mapping[str, Cost], events: int) -> Iterator[tuple[str, str]]:
    """Two runs of so many events: of each process its µs of CPU an event and context switches an event, the dearest first."""
    for name in sorted({*first, *second}, key=lambda name: first.get(name, NOTHING), reverse=True):
        pair = first.get(name, NOTHING), second.get(name, NOTHING)
        if max(pair).cpu_s >= LEAST_S * events:
            cpu = " and ".join(f"{1e6 * each.cpu_s / events:,.0f}" for each in pair)
            yield name, f"{cpu}; {' and '.join(f'{each.switches / events:.1f}' for each in pair)}"
