"""Real sample data (completejourney, CC0) as campaigns and events, and an independent answer key for them."""

from fillip_demo.sample.campaigns import TENANT, TENANT_DOCUMENT, actions, campaigns, cohort_csv, limits, users
from fillip_demo.sample.journey import Event, events, pairs
from fillip_demo.sample.reference import expected

__all__ = [
    "TENANT",
    "TENANT_DOCUMENT",
    "Event",
    "actions",
    "campaigns",
    "cohort_csv",
    "events",
    "expected",
    "limits",
    "pairs",
    "users",
]
