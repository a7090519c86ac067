"""Sets up the demo's two tenants through the HTTP API, as an operator and a marketer would."""

from collections.abc import Mapping
from itertools import islice

from fillip.client.api import ApiClient
from fillip.client.book import define_actions, launch_campaigns, upload_cohort
from fillip.embedded.process import Report
from fillip_demo import sample

SCOPES = (
    "events:write",
    "manage:read",
    "manage:write",
    "reports:read",
    "facts:read",
    "tickets:write",
    "claims:write",
    "keys:write",
)
MAX_BULK = 1_000

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
    campaigns, limits = sample.campaigns(), sample.limits()
    cohorts = {cohort for campaign in campaigns.values() for cohort in _list_cohorts(campaign)}
    with ApiClient(api, key) as client:
        define_actions(client, sample.actions())
        report("users", f"{store_users(client, sample.users()):,} households stored in bulk")
        size = sum(upload_cohort(client, cohort, sample.cohort_csv(cohort)) for cohort in sorted(cohorts))
        report("cohorts", f"{len(cohorts)} lists uploaded as CSV, {size:,} members")
        launch_campaigns(client, campaigns, limits)
    report("campaigns", f"{len(campaigns)} type-checked and launched, with {len(limits)} hard limits")
    return key


def set_up_probe(operator: ApiClient, api: str) -> str:
    """Make the tenant on which latency is measured: every tap with n >= 0 earns a point; its API key."""
    key = _make_tenant(operator, PROBE_TENANT)
    with ApiClient(api, key) as client:
        define_actions(client, {PROBE_ACTION: PROBE_SCHEMA})
        launch_campaigns(client, {"tap": PROBE_CAMPAIGN}, [])
    return key


def store_users(client: ApiClient, user_ids: list[str]) -> int:
    """Store users without attributes, in bulk; how many were stored."""
    ids, stored = iter(user_ids), 0
    while part := list(islice(ids, MAX_BULK)):
        users = [{"user_id": user_id, "attributes": {}} for user_id in part]
        stored += client.post("/v1/users:bulk", {"users": users})["stored"]
    return stored


def _make_tenant(operator: ApiClient, document: Mapping[str, object]) -> str:
    operator.post("/v1/tenants", document)
    issued = operator.post(f"/v1/tenants/{document['tenant_id']}/keys", {"name": "demo", "scopes": SCOPES})
    return str(issued["key"])


def _list_cohorts(campaign: Mapping[str, object]) -> list[str]:
    found = campaign.get("cohorts", [])
    return list(found) if isinstance(found, list) else []
