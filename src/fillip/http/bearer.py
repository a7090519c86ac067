"""Who calls: the key in `Authorization: Bearer …`, whether it has a scope, and whether its tenant asks too often."""

from collections.abc import Mapping

from fillip.core.ports import Caller, KeyRing, Rates
from fillip.core.quota import describe_room
from fillip.http.errors import Forbidden, TooFast, Unauthorized


def read_bearer(headers: Mapping[str, str]) -> str:
    """The key that a request brings; raises Unauthorized where it brings none."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unauthorized("send an API key: Authorization: Bearer fk_live_…")
    return key.strip()


async def authenticate(keys: KeyRing, key: str) -> Caller:
    """Whose key it is; raises Unauthorized, or Retry where that can't be looked up now."""
    caller = await keys.authenticate(key)
    if caller is None:
        raise Unauthorized("this key is not known, or has expired or been revoked")
    return caller


def check_scope(caller: Caller, scope: str) -> None:
    """Raise Forbidden for a caller who lacks `scope`."""
    if scope not in caller.scopes:
        raise Forbidden(f"this key lacks the scope {scope}")


async def take_request(rates: Rates, caller: Caller) -> dict[str, str]:
    """Count one request of the caller's tenant; the headers that tell how much room there is. Raises TooFast."""
    per_s = caller.quotas.requests_per_s
    taking = await rates.take(caller.tenant_id, "requests_per_s", per_s, 1)
    if taking.wait_s:
        raise TooFast("requests_per_s", per_s, 1, taking)
    return describe_room("requests_per_s", per_s, taking)
