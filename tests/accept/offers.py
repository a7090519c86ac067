"""The ten offers of the starbucks data as campaigns, right and wrong."""

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct

Campaigns = dict[str, dict[str, Any]]

COUNT = {"type": "integer", "minimum": 0}
ACTIONS: dict[str, Any] = {
    "OFFER_RECEIVED": {"type": "object", "properties": {"offer": COUNT, "hour": COUNT}, "required": ["offer"]},
    "OFFER_VIEWED": {"type": "object", "properties": {"offer": COUNT}},
    "PURCHASE": {
        "type": "object",
        "properties": {"amountCents": COUNT, "hour": COUNT},
        "required": ["amountCents", "hour"],
    },
}


class Variant(Struct, frozen=True):
    """A wrong rule: its campaigns, its limits, the right campaigns that it leaves as they are, and its score."""

    goal: tuple[int, int, int, int]
    campaigns: Campaigns
    limits: list[dict[str, Any]] = []
    unchanged: frozenset[str] = frozenset()


def find_data() -> Path | None:
    """The folder of the data set, or None where shared data is absent."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("FILLIP_SHARED_DATA", beside)) / "starbucks"
    return folder if (folder / "transcript.csv.gz").exists() else None


def read_portfolio() -> list[dict[str, str]]:
    """The offers."""
    folder = find_data()
    assert folder, "shared data is absent"
    with (folder / "portfolio.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def exact() -> Campaigns:
    """The rule: a receipt opens an instance of its own; a bogo wants one purchase above, a discount a sum of at least."""
    return _define("offer")


def counting_all() -> Campaigns:
    """The same, with each purchase meeting a bogo's step and giving nothing where it is too small."""
    return _define(
        "offer", ("bogo", "discount"), bogo=lambda need: {"sum": f"event.amountCents > {need} ? 1 : 0", "at_least": 1}
    )


def wrong() -> dict[str, Variant]:
    """The wrong rules that can be written as definitions or limits."""
    above, below = _name("offer", "discount"), _name("offer", "bogo")
    hourly = _define("hourly")
    return {
        "bogo >= instead of >": Variant(
            (33_595, 33_575, 20, 4),
            _define("from", ("bogo",), bogo=lambda need: {"rule": f"event.amountCents >= {need}"}),
            unchanged=above,
        ),
        "bogo accumulates": Variant(
            (36_302, 33_064, 3_238, 515),
            _define("summed", ("bogo",), bogo=lambda need: {"sum": "event.amountCents", "more_than": need}),
            unchanged=above,
        ),
        "window end exclusive": Variant((33_143, 33_143, 0, 436), _define("shorter", shorter_s=1)),
        "discount > instead of >=": Variant(
            (33_572, 33_561, 11, 18),
            _define("over", ("discount",), discount=lambda need: {"sum": "event.amountCents", "more_than": need}),
            unchanged=below,
        ),
        "second receipt of an open offer ignored": Variant(
            (32_692, 32_692, 0, 887), _define("single", instance="user", repeatable=True)
        ),
        "incentive id = (user, offer, hour)": Variant(
            (33_182, 33_182, 0, 397), hourly, [_limit(name) for name in hourly]
        ),
    }


def _define(
    name: str,
    types: tuple[str, ...] = ("bogo", "discount", "informational"),
    *,
    bogo: Callable[[int], dict[str, Any]] = lambda need: {"rule": f"event.amountCents > {need}"},
    discount: Callable[[int], dict[str, Any]] = lambda need: {"sum": "event.amountCents", "at_least": need},
    shorter_s: int = 0,
    **quest: Any,
) -> Campaigns:
    made: Campaigns = {}
    for row in read_portfolio():
        kind, need = row["offer_type"], int(row["difficulty_dollars"]) * 100
        if kind not in types:
            continue
        step = {"bogo": bogo, "discount": discount}.get(kind, lambda _: {"rule": "event.amountCents < 0"})(need)
        made[f"{name}-{row['offer_idx']}"] = {
            "kind": "QUEST",
            "name": f"{kind} of ${row['difficulty_dollars']} in {int(row['duration_hours']) // 24} days",
            "quest": {
                "start": {"at": "event", "action": "OFFER_RECEIVED", "rule": f"event.offer == {row['offer_idx']}"},
                "instance": "event",
                "window_s": int(row["duration_hours"]) * 3600 - shorter_s,
                "steps": [{"name": "buy", "action": "PURCHASE", **step}],
                **quest,
            },
            "rewards": [_reward(int(row["reward_dollars"]) * 100)],
        }
    return made


def _reward(cents: int) -> dict[str, Any]:
    """Cashback; an offer that only informs gives nothing to count."""
    return {"kind": "cashback", "value": cents, "currency": "USD"} if cents else {"kind": "custom"}


def _name(name: str, kind: str) -> frozenset[str]:
    return frozenset(f"{name}-{row['offer_idx']}" for row in read_portfolio() if row["offer_type"] == kind)


def _limit(campaign_id: str) -> dict[str, Any]:
    return {
        "limit_id": f"once-{campaign_id}",
        "scope": "user_in_campaign",
        "campaign_id": campaign_id,
        "measure": "count",
        "span": "lifetime",
        "cap": 1,
        "action": "PURCHASE",
        "key": "event.hour",
    }
