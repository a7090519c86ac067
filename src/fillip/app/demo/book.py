"""Sets up the demo's two tenants through the HTTP API, as an operator and a marketer would."""

from collections.abc import Callable, Mapping
from itertools import islice

from fillip.app import sample
from fillip.app.demo.client import ApiClient

Report = Callable[[str, str], None]

SCOPES = ("events:write", "manage:read", "manage:write", "reports:read", "tickets:write", "claims:write", "keys:write")
MAX_BULK = 1_000
ANY = {"If-Match": "*"}

PROBE = "probe"
PROBE_TENANT = {"tenant_id": PROBE, "name": "Latency probe", "time_zone": "UTC", "currency": "USD", "clock": "live"}
PROBE_ACTION = "TAP"
PROBE_SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
PROBE_CAMPAIGN = {
    "kind": "SIMPLE",
    "name": "A point for every tap",
    "action": PROBE_ACTION,
    "rule": "event.n >= 0",
    "rewards": [{"kind": "points", "value": 1}],
}


def set_up_grocer(operator: ApiClient, api: str, report: Report) -> str:
    """Make the grocer with its actions, households, cohorts, campaigns and limits, all launched; its API key."""
    key = _make_tenant(operator, sample.TENANT_DOCUMENT)
    client = ApiClient(api, key)
    actions, campaigns, limits = sample.actions(), sample.campaigns(), sample.limits()
    define_actions(client, actions)
    report("users", f"{store_users(client, sample.users()):,} households stored in bulk")
    cohorts = {cohort for campaign in campaigns.values() for cohort in _list_cohorts(campaign)}
    size = sum(upload_cohort(client, cohort, sample.cohort_csv(cohort)) for cohort in sorted(cohorts))
    report("cohorts", f"{len(cohorts)} lists uploaded as CSV, {size:,} members")
    launch_campaigns(client, campaigns, limits)
    report("campaigns", f"{len(campaigns)} type-checked and launched, with {len(limits)} hard limits")
    return key


def set_up_probe(operator: ApiClient, api: str) -> str:
    """Make the tenant on which latency is measured: every tap with n >= 0 earns a point; its API key."""
    key = _make_tenant(operator, PROBE_TENANT)
    client = ApiClient(api, key)
    define_actions(client, {PROBE_ACTION: PROBE_SCHEMA})
    launch_campaigns(client, {"tap": PROBE_CAMPAIGN}, [])
    return key


def define_actions(client: ApiClient, actions: Mapping[str, object]) -> None:
    """PUT each action with its JSON Schema."""
    for name, schema in actions.items():
        client.put(f"/v1/actions/{name}", {"schema": schema})


def store_users(client: ApiClient, user_ids: list[str]) -> int:
    """Store users without attributes, in bulk; how many were stored."""
    ids, stored = iter(user_ids), 0
    while part := list(islice(ids, MAX_BULK)):
        users = [{"user_id": user_id, "attributes": {}} for user_id in part]
        stored += client.post("/v1/users:bulk", {"users": users})["stored"]
    return stored


def upload_cohort(client: ApiClient, cohort_id: str, csv: bytes) -> int:
    """Make a cohort and upload its list; its size."""
    client.post("/v1/cohorts", {"cohort_id": cohort_id, "name": cohort_id})
    return int(client.put(f"/v1/cohorts/{cohort_id}/members", csv, ANY)["size"])


def launch_campaigns(
    client: ApiClient, campaigns: Mapping[str, Mapping[str, object]], limits: list[dict[str, object]]
) -> None:
    """Make the campaigns as drafts, put the limits on them, then launch them."""
    for campaign_id, definition in campaigns.items():
        client.post("/v1/campaigns", {"campaign_id": campaign_id, "definition": definition})
    for limit in limits:
        client.post("/v1/limits", limit)
    for campaign_id in campaigns:
        client.post(f"/v1/campaigns/{campaign_id}/launch", headers=ANY)


def _make_tenant(operator: ApiClient, document: Mapping[str, object]) -> str:
    operator.post("/v1/tenants", document)
    issued = operator.post(f"/v1/tenants/{document['tenant_id']}/keys", {"name": "demo", "scopes": SCOPES})
    return str(issued["key"])


def _list_cohorts(campaign: Mapping[str, object]) -> list[str]:
    found = campaign.get("cohorts", [])
    return list(found) if isinstance(found, list) else []
