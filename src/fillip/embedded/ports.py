"""Free ports on 127.0.0.1, and who holds one that is not free."""

import random
import socket
from pathlib import Path

from fillip.core.errors import Crash

HOST = "127.0.0.1"
# Below the range from which Linux (32768) and macOS (49152) take ports for outgoing connections,
# so that a remembered port is seldom lost to one of those.
LOWEST, HIGHEST = 20_000, 31_999
# Seconds pass between choosing a port and listening on it. Meanwhile a UDP socket of the same number, which no
# server of ours uses, tells other instances that the port is spoken for; the kernel frees it when the process ends.
_claims: set[int] = set()


def check_free(port: int) -> bool:
    """Tell whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def claim_port(port: int) -> bool:
    """Keep a free port for this process while it lives; False where it is in use or claimed by another process."""
    if port not in _claims:
        claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            claim.bind((HOST, port))
        except OSError:
            claim.close()
            return False
        claim.detach()  # nobody closes it before the kernel does
        _claims.add(port)
    return check_free(port)


def choose_free_port() -> int:
    """Claim a port at random that no instance uses or has claimed."""
    while True:
        port = random.SystemRandom().randint(LOWEST, HIGHEST)
        if port not in _claims and claim_port(port):
            return port


def find_port_owner(port: int) -> str | None:
    """Name the process that listens on a port as 'NAME (pid N)'; None where that cannot be seen."""
    inodes = _list_listening_inodes(port)
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()) in inodes:
                process = link.parents[1]
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue  # another user's process, or a file just closed
    return None


def require_free_port(port: int, purpose: str) -> None:
    """Raise Crash when a port that someone asked for is taken, naming who has it."""
    if not check_free(port):
        owner = find_port_owner(port) or "another process"
        raise Crash(f"port {port} for {purpose} is in use by {owner}: stop that, or choose another port")


def _list_listening_inodes(port: int) -> set[str]:
    """Return the sockets that listen on a port as '/proc/PID/fd' shows them."""
    found = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        lines = table.read_text().splitlines()[1:] if table.exists() else []
        for fields in map(str.split, lines):
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found
