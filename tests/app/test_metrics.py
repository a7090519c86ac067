"""Metrics stay small whatever tenants do: every value that a label can take is written in the source."""

import json
import pkgutil
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import get_args

from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from prometheus_client import REGISTRY
from starlette.requests import Request
from starlette.responses import Response

import fillip
from fillip.app import requests
from fillip.app.worker import report
from fillip.core.errors import RejectReason
from fillip.core.event import Place, Rejection
from fillip.core.ledger.decision import DecisionReason, Outcome
from fillip.core.ledger.reversal import ReversalReason, ReversalState
from fillip.deliver.frames import ClosedKind
from fillip.manage.app import list_paths
from fillip.match.refusals import Reason
from fillip.publish.duty import DutyName
from fillip.publish.postgres import ANNOUNCED
from fillip.stream.topics import Topics

TOPICS = tuple(Topics().count_partitions(1))
OPENAPI = Path(fillip.__path__[0]).parents[1] / "docs" / "reference" / "openapi.json"
OWN_PATHS = [path for path, item in json.loads(OPENAPI.read_text())["paths"].items() if "servers" not in item]
ROUTES = (*OWN_PATHS, requests.NO_ROUTE)
METHODS = (*requests.METHODS, requests.NO_METHOD)
BOUNDED = {
    "fillip_settle_decisions": {"outcome": get_args(Outcome), "reason": get_args(DecisionReason)},
    "fillip_settle_rejections": {"reason": get_args(RejectReason)},
    "fillip_settle_reversals": {"state": get_args(ReversalState), "reason": get_args(ReversalReason)},
    "fillip_merge_portions": {"outcome": ("moved", "failed")},
    "fillip_match_refusals": {"reason": get_args(Reason)},
    "fillip_match_users": {"found": ("kept", "read")},
    "fillip_match_users_dropped": {"why": ("changed", "room", "lost")},
    "fillip_deliver_closed": {"reason": get_args(ClosedKind)},
    "fillip_deliver_frames": {"origin": ("live", "replay")},
    "fillip_deliver_set_aside": {"topic": TOPICS},
    "fillip_deliver_unshown": {"what": ("entry", "progress")},
    "fillip_analyse_records": {"outcome": ("seen_before", "loaded")},
    "fillip_analyse_set_aside": {"topic": TOPICS},
    "fillip_analyse_day_files": {"why": ("written", "merged")},
    "fillip_analyse_query_seconds": {"outcome": ("answered", "refused", "stopped")},
    "fillip_cohort_runs": {"outcome": ("done", "refused", "failed")},
    "fillip_balance_import_portions": {"outcome": ("posted", "failed")},
    "fillip_backtests": {"outcome": ("done", "failed")},
    "fillip_backfill_turns": {"outcome": ("done", "goes_on", "waits", "failed", "broken")},
    "fillip_erasure_steps": {
        "step": ("settling", "ledger", "events", "announcing", "reports"),
        "outcome": ("done", "failed"),
    },
    "fillip_http_requests": {"route": ROUTES, "method": METHODS, "status": tuple(map(str, range(100, 600)))},
    "fillip_http_request_seconds": {"route": ROUTES, "method": METHODS},
    "fillip_stream_lag_records": {"topic": TOPICS, "partition": tuple("0123456789")},
    "fillip_publish_set_aside": {"table": (*ANNOUNCED, "limit_counter", "end_user", "")},
    "fillip_publish_dropped_counters": {"why": ("tenant_has_many", "valkey_full")},
    "fillip_publish_duty": {"duty": get_args(DutyName)},
    "fillip_limit_hot_untold": {"why": ("tenant_has_many", "valkey_away")},
}
"""Every labelled metric, with all the values of its labels. A new one belongs here, and never has a tenant's words."""


def load_metrics() -> dict[str, dict[str, set[str]]]:
    """Label values seen so far by metric and label, of every labelled metric of every module."""
    for module in pkgutil.walk_packages(fillip.__path__, "fillip."):
        if not module.name.endswith("__main__") and ".migrations." not in module.name:
            import_module(module.name)
    names = {
        collector: collector._labelnames  # type: ignore[attr-defined]  # of its own: the public face has none
        for collector in REGISTRY._collector_to_names
        if collector_is_ours(collector)
    }
    return {
        metric.name: {label: {sample.labels[label] for sample in metric.samples} for label in labels}
        for collector, labels in names.items()
        if labels
        for metric in collector.collect()
    }


def collector_is_ours(collector: object) -> bool:
    return getattr(collector, "_name", "").startswith("fillip_")


def test_every_label_is_bounded_by_the_source():
    found = load_metrics()
    assert {name: set(labels) for name, labels in found.items()} == {n: set(labels) for n, labels in BOUNDED.items()}
    for name, labels in found.items():
        for label, values in labels.items():
            words = tuple(BOUNDED[name][label])
            named = values - {""}  # what can't be read at all has no table
            assert all(value.endswith(words) for value in named), f"{name}, {label}"  # topics have the set's own prefix


def test_a_thousand_tenants_add_no_series():
    def count() -> int:
        return sum(len(metric.samples) for metric in REGISTRY.collect())

    def reject(tenant_id: str) -> None:
        place = Place("event.received", 0, 0)
        report(
            lambda settled: None,
            [],
            [Rejection(place, "too_large", tenant_id, b"", datetime.now(UTC), tenant_id, tenant_id)],
            0,
            [],
        )

    reject("first")
    before = count()
    for number in range(1_000):
        reject(f"tenant-{number}")
    assert count() == before


async def test_requests_are_counted_by_route_never_by_what_a_client_has_made_up():
    async def answer(request: Request) -> Response:
        return Response(status_code=404 if request.path_params.get("user_id") == "nobody" else 200)

    def count(route: str, method: str, status: str) -> float:
        labels = {"route": route, "method": method, "status": status}
        return REGISTRY.get_sample_value("fillip_http_requests_total", labels) or 0

    site = FastAPI()
    site.add_route("/v1/users/{user_id}", answer, methods=["GET"])
    site.add_route("/v1/users/import", answer, methods=["POST"])
    app = requests.Counted(site, ["/v1/users/{user_id}", "/v1/users/import", "/v1/users/{user_id}/wallets"])
    series = [("/v1/users/{user_id}", "GET", "200"), ("/v1/users/{user_id}", "GET", "404"), ("/v1/users/import", "POST", "200"), ("/v1/users/{user_id}/wallets", "GET", "404"),
              ("none", "GET", "404"), ("none", "other", "404")]  # fmt: skip
    before = [count(*each) for each in series]
    async with AsyncClient(transport=ASGITransport(app), base_url="http://x") as client:
        for path in (
            "/v1/users/ann",
            "/v1/users/bob",
            "/v1/users/nobody",
            "/wp-login.php",
            "/other",
            "/v1/users/import/wallets",
        ):
            await client.get(path)
        await client.post("/v1/users/import")
        await client.request("FROBNICATE", "/x")
    assert [count(*each) - was for each, was in zip(series, before, strict=True)] == [2, 1, 1, 1, 2, 1]
    labels = {"route": "/v1/users/{user_id}", "method": "GET"}
    assert (REGISTRY.get_sample_value("fillip_http_request_seconds_count", labels) or 0) >= 3


def test_every_documented_route_has_a_name_of_its_own():
    assert {*list_paths(["/v1/events"])} == {*OWN_PATHS}
