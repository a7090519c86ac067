"""What a tenant may take."""

from fillip.core.ports import Caller
from fillip.core.quota import QuotaName
from fillip.http.errors import QuotaExceeded


def require_room(caller: Caller, name: QuotaName, used: int, more: int = 1) -> None:
    """Raise QuotaExceeded unless `more` fit beside what is `used`, counted under a lock that who adds to it must have."""
    quota: int = getattr(caller.quotas, name)
    if used + more > quota:
        raise QuotaExceeded(name, quota, used, more)
