"""Metrics stay small whatever tenants do: every value that a label can take is written in the source."""

import pkgutil
from importlib import import_module
from typing import get_args

from prometheus_client import REGISTRY

import fillip
from fillip.app.path import report
from fillip.core.errors import RejectReason
from fillip.core.event import Place, Rejection
from fillip.core.incentive import DecisionReason, Outcome
from fillip.core.reversal import ReversalReason, ReversalState
from fillip.deliver.frames import ClosedKind
from fillip.match.refusals import Reason
from fillip.publish.postgres import ANNOUNCED
from fillip.stream.topics import Topics

TOPICS = tuple(Topics().count_partitions(1))
BOUNDED = {
    "fillip_settle_decisions": {"outcome": get_args(Outcome), "reason": get_args(DecisionReason)},
    "fillip_settle_rejections": {"reason": get_args(RejectReason)},
    "fillip_settle_reversals": {"state": get_args(ReversalState), "reason": get_args(ReversalReason)},
    "fillip_match_refusals": {"reason": get_args(Reason)},
    "fillip_deliver_closed": {"reason": get_args(ClosedKind)},
    "fillip_deliver_frames": {"origin": ("live", "replay")},
    "fillip_deliver_set_aside": {"topic": TOPICS},
    "fillip_deliver_unshown": {"what": ("entry", "progress")},
    "fillip_analyse_records": {"outcome": ("seen_before", "loaded")},
    "fillip_analyse_set_aside": {"topic": TOPICS},
    "fillip_publish_set_aside": {"table": (*ANNOUNCED, "limit_counter")},
    "fillip_publish_dropped_counters": {"why": ("tenant_has_many", "valkey_full")},
}
"""Every labelled metric, with all the values of its labels. A new one belongs here, and never has a tenant's words."""


def load_metrics() -> dict[str, dict[str, set[str]]]:
    """Label values seen so far by metric and label, of every labelled metric of every module."""
    for module in pkgutil.walk_packages(fillip.__path__, "fillip."):
        if not module.name.endswith("__main__") and ".migrations." not in module.name:
            import_module(module.name)
    names = {
        collector: collector._labelnames for collector in REGISTRY._collector_to_names if collector_is_ours(collector)
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
            assert all(value.endswith(words) for value in values), (
                f"{name}, {label}"
            )  # topics have the set's own prefix


def test_a_thousand_tenants_add_no_series():
    def count() -> int:
        return sum(len(metric.samples) for metric in REGISTRY.collect())

    def reject(tenant_id: str) -> None:
        place = Place("event.received", 0, 0)
        report([], [Rejection(place, "too_large", tenant_id, b"", None, tenant_id, tenant_id)], 0, [])

    reject("first")
    before = count()
    for number in range(1_000):
        reject(f"tenant-{number}")
    assert count() == before
