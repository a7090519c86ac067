"""Sets up what a tenant's events meet: actions, cohorts, campaigns and limits."""

from collections.abc import Mapping

from fillip.client.api import ApiClient

ANY = {"If-Match": "*"}


def define_actions(client: ApiClient, actions: Mapping[str, object]) -> None:
    """PUT each action with its JSON Schema."""
    for name, schema in actions.items():
        client.put(f"/v1/actions/{name}", {"schema": schema})


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
