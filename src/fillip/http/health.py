"""How a process is asked whether it can do its work, and the words of its answers."""

HEALTH_PATHS = ("/livez", "/readyz", "/healthz")
UNREAD = "the announcements are not being read"


def answer_readiness(fault: str | None) -> tuple[int, str]:
    """Status and text for /readyz and /healthz; `fault` says why the process can't do its work (None: it can)."""
    return (200, "ok\n") if fault is None else (503, f"not ready: {fault}\n")
