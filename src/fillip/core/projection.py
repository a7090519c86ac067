"""Names in the Valkey projection: one function a thing, with the tenant as hash tag, so no key crosses tenants."""

from urllib.parse import quote

from fillip.core.limit import CounterKey


def name_counter(key: CounterKey) -> str:
    """The hash (`used`, `version`) that mirrors one limit counter."""
    user, split = quote(key.user_id, safe=""), quote(key.key, safe="")
    return f"fillip:{{{key.tenant_id}}}:limit:{key.limit_id}:{key.window_start.isoformat()}:{user}:{split}"


def name_bucket(tenant_id: str, rate: str) -> str:
    """The token bucket of one of a tenant's rates."""
    return f"fillip:{{{tenant_id}}}:rate:{rate}"


def name_epoch(tenant_id: str) -> str:
    """The epoch in which the tenant's counters were written; absent = the projection was lost."""
    return f"fillip:{{{tenant_id}}}:epoch"
