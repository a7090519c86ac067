"""contract: the whole OpenAPI of API and reports, tried by schemathesis with all its checks on a running set."""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from string import Template
from typing import Any

from msgspec import json

from fillip.app.up import Stack
from fillip.client.api import ApiClient
from fillip.client.book import launch_campaigns
from fillip.figures import Figure, at_least, expect
from fillip.manage.api.quotas import QuotasPart
from fillip.manage.operator import set_quotas
from tests.live.running import make_tenant, send, wait_until_settled

CONFIG = Path(__file__).with_suffix(".toml")
FOLDER = Path("build/contract")
NO_REPORTS = ("--exclude-path-regex", "^/v1/reports/")
"""The document of the API has them, served elsewhere: they are tried where they are."""
EXAMPLES = 75
CASES = 10_000
TENANT, OTHER = "contract", "other"
CODES = 100_000
"""The pools' quota: orders of codes are tried too, and are not to fill the disk."""


async def accept(stack: Stack, tell: Callable[[str], None]) -> list[Figure]:
    """Try both documents; what fails is told, and stands in full in FOLDER."""
    shop, figures, cases = await stock_shop(stack), [], 0
    for name, url, more in (("api", stack.doors.api, NO_REPORTS), ("reports", stack.doors.analyse, ())):
        report = await asyncio.to_thread(try_document, shop, url, name, EXAMPLES, *more)
        failures = list_failures(report)
        for failure in failures:
            tell(f"{name}: {failure}")
        tell(f"{name}: the whole output is in {FOLDER / name}.txt")
        cases += report["test_cases"]["generated"]
        operations, tested = report["operations"]["selected"], report["operations"]["tested"]
        figures += [
            expect(f"{name}: operations tried", operations, tested),
            expect(f"{name}: failures", 0, len(failures)),
        ]
    return [at_least("requests, with all checks", CASES, cases), *figures]


def try_document(shop: dict[str, str], url: str, name: str, examples: int, *more: str) -> dict[str, Any]:
    """Run schemathesis over the document at `url`, with `examples` an operation and phase; its report.

    `shop` is what CONFIG leaves open: see `stock_shop`.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    report = FOLDER / f"{name}.json"
    report.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="fillip-contract-") as folder, (FOLDER / f"{name}.txt").open("wb") as out:
        config = Path(folder) / "schemathesis.toml"  # it holds keys
        config.write_text(Template(CONFIG.read_text()).substitute(shop))
        command: list[str | Path] = [
            Path(sys.executable).with_name("schemathesis"),
            "--config-file",
            config,
            "run",
            f"{url}/openapi.json",
        ]
        command += ["--max-examples", str(examples), "--report", "json", "--report-json-path", report, "--no-color"]
        subprocess.run([*command, *more], stdout=out, stderr=out, check=False)
    return dict(json.decode(report.read_bytes()))


def list_failures(report: dict[str, Any]) -> list[str]:
    """What went wrong: each kind of failure with its operations, and errors of schemathesis itself."""
    found = [f"{each['title']}: {operation}" for each in report["failures"] for operation in each["operations"]]
    return found + [f"error: {each['title']} ({each['count']})" for each in report["errors"]]


async def stock_shop(stack: Stack) -> dict[str, str]:
    """A tenant that has one object of each kind, beside another tenant; its keys, and the ids that it could not choose."""
    key = make_tenant(stack, TENANT)
    make_tenant(stack, OTHER)
    await set_quotas(stack.settings.owner_dsn, TENANT, QuotasPart(coupon_codes=CODES))
    with ApiClient(stack.doors.api, key) as client:
        client.put("/v1/users/ada", {"attributes": {}})
        client.put("/v1/actions/BUY", {"schema": {"type": "object", "properties": {}}})
        client.post("/v1/cohorts", {"cohort_id": "vip", "name": "VIP"})
        client.put("/v1/lists/sweets", {"name": "Sweets", "items": ["A-1"]})
        client.post("/v1/coupon-pools", {"pool_id": "p", "name": "P"})
        client.post("/v1/coupon-pools/p/codes", b"SPRING-1\n")
        client.post("/v1/badges", {"badge_id": "b", "name": "B"})
        rewards = [{"kind": "points", "value": 500}, {"kind": "coupon", "pool": "p"}]
        launch_campaigns(client, {"c": {"kind": "SIMPLE", "name": "C", "action": "BUY", "rewards": rewards}}, [])
        await send(stack, [describe_event("sale-1", "BUY"), describe_event("sale-2", "NOBODY-KNOWS")])
        await wait_until_settled(stack)
        client.post("/v1/limits", {"limit_id": "l", "scope": "tenant", "measure": "count", "span": "day", "cap": 1})
        client.post("/v1/users/ada/wallets/POINTS/spends", {"spend_id": "spend-1", "amount": 100})
        client.post(
            "/v1/reversals",
            {"reversal_id": "return-1", "event_id": "sale-2", "event_source": "/till", "user_id": "ada"},
        )
        generation = client.post("/v1/coupon-pools/p/generations", {"count": 10})
        spare = client.post("/v1/keys", {"name": "spare", "scopes": ["events:write"]})
        return {
            "key": key,
            "operator_key": stack.settings.operator_key or "",
            "decision_id": client.get("/v1/decisions")["items"][0]["decision_id"],
            "incentive_id": client.get("/v1/incentives")["items"][0]["incentive_id"],
            "rejection_id": client.get("/v1/rejections")["items"][0]["rejection_id"],
            "generation_id": generation["generation_id"],
            "spare_key_id": spare["key_id"],
        }


def describe_event(event_id: str, action: str) -> dict[str, Any]:
    """An event of ada's, as it stands in the log."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "/till",
        "type": action,
        "subject": "ada",
        "time": datetime.now(UTC).isoformat(),
        "tenantid": TENANT,
        "data": {},
    }
