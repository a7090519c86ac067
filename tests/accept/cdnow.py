"""cdnow: 69,659 purchases, 255 of them equal in content to another: each counts, because its id is its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fillip.app.up import Stack
from fillip.client.api import ApiClient
from fillip.client.book import define_actions, launch_campaigns
from fillip.figures import Figure, expect
from tests.live.running import fetch, make_tenant, send, wait_until_settled

TENANT = "cdshop"
PURCHASES, TWINS, CDS, CENTS = 69_659, 255, 167_881, 250_031_563
ABSENT = "its data is not shipped: set FILLIP_SHARED_DATA to a folder that has cdnow/to_events.py"

COUNT = {"type": "integer", "minimum": 0}
SCHEMA = {"type": "object", "properties": {"cds": COUNT, "amountCents": COUNT}, "required": ["cds", "amountCents"]}
CAMPAIGN = {
    "kind": "SIMPLE",
    "name": "A point for every purchase",
    "action": "PURCHASE",
    "rule": "event.amountCents >= 0",
    "rewards": [{"kind": "points", "value": 1}],
}
BUDGET = {
    "limit_id": "all-points",
    "scope": "campaign",
    "measure": "value",
    "span": "lifetime",
    "cap": PURCHASES,
    "campaign_id": "every-purchase",
    "reward_kind": "points",
}
TOTALS = Path(__file__).with_name("cdnow_totals.sql").read_text()


def find_data() -> Path | None:
    """The script that prints the events, or None where shared data is absent."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    script = Path(os.environ.get("FILLIP_SHARED_DATA", beside)) / "cdnow" / "to_events.py"
    return script if script.exists() else None


async def accept(stack: Stack, tell: Callable[[str], None]) -> list[Figure]:
    """Grant every purchase, under a budget that is used up by exactly all of them."""
    with ApiClient(stack.doors.api, make_tenant(stack, TENANT, clock="history")) as client:
        define_actions(client, {"PURCHASE": SCHEMA})
        launch_campaigns(client, {"every-purchase": CAMPAIGN}, [BUDGET])
    sent = await send(stack, read_events())
    tell(f"{sent:,} events sent")
    await wait_until_settled(stack)
    [(granted, denied, incentives, inbox, used, twins, cds, cents)] = await fetch(stack, TOTALS, TENANT)
    return [
        expect("purchases sent", PURCHASES, sent, "events"),
        expect("granted", PURCHASES, granted, "decisions"),
        expect("denied", 0, denied, "decisions"),
        expect("incentives", PURCHASES, incentives),
        expect("inbox entries", PURCHASES, inbox),
        expect("budget used, to the last point", PURCHASES, used, "points"),
        expect("granted though equal in content to another", TWINS, twins, "events"),
        expect("CDs in granted events", CDS, cds),
        expect("spend in granted events", CENTS, cents, "cents"),
    ]


def read_events() -> Iterator[dict[str, Any]]:
    """The purchases as CloudEvents, in the data set's order."""
    script = find_data()
    assert script, ABSENT
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE) as process:
        assert process.stdout
        for row in map(json.loads, process.stdout):
            yield {
                "specversion": "1.0",
                "id": row["id"],
                "source": "cdnow",
                "type": row["action"],
                "subject": row["user"],
                "time": row["time"],
                "tenantid": TENANT,
                "data": row["attributes"],
            }
