"""The Analytics Bay's report beside the ledger it was told of."""

import asyncio
import time
from collections.abc import Mapping
from urllib.parse import urlencode

from msgspec import Struct, convert

from fillip.client.api import ApiClient
from fillip.figures import Figure, expect
from fillip_demo.checks import CATCH_UP_WITHIN_S
from fillip_demo.postgres import CampaignDay, Ledger
from fillip_demo.sample import TENANT

PAGE = 500
LOOK_EVERY_S = 0.5


class _Spend(Struct):
    value: int


class _Line(Struct):
    day: str
    campaign_id: str
    granted: int
    denied: dict[str, int]
    spend: list[_Spend]
    unique_users: int


async def check_reports(ledger: Ledger, reports: ApiClient) -> list[Figure]:
    """Whether every campaign and day of the Analytics Bay says what the ledger says, as soon as it has caught up.

    That takes its time where others take the processor, to whom it gives way: it is waited for as long as it moves on.
    """
    truth = await ledger.read_campaign_days(TENANT)
    told: Mapping[tuple[str, str], CampaignDay] = {}
    moved_on = time.monotonic()
    while told != truth and time.monotonic() < moved_on + CATCH_UP_WITHIN_S:
        await asyncio.sleep(LOOK_EVERY_S)
        before, told = told, await asyncio.to_thread(read_report, reports)
        if told != before:
            moved_on = time.monotonic()
    different = sum(told.get(place) != truth.get(place) for place in told.keys() | truth.keys())
    return [
        expect(f"Analytics: of {len(truth):,} campaign-days unlike the ledger", 0, different),
        expect("Analytics: granted", sum(day.granted for day in truth.values()), sum(d.granted for d in told.values())),
        expect("Analytics: refused", sum(day.denied for day in truth.values()), sum(d.denied for d in told.values())),
    ]


def read_report(reports: ApiClient) -> dict[tuple[str, str], CampaignDay]:
    """The whole report by (day, campaign), page by page."""
    found: dict[tuple[str, str], CampaignDay] = {}
    cursor: str | None = ""
    while cursor is not None:
        asked = {"limit": PAGE} | ({"cursor": cursor} if cursor else {})
        page = reports.get(f"/v1/reports/campaign-days?{urlencode(asked)}")
        for line in convert(page["items"], list[_Line]):
            spent = sum(spend.value for spend in line.spend)
            numbers = CampaignDay(line.granted, sum(line.denied.values()), spent, line.unique_users)
            found[line.day, line.campaign_id] = numbers
        cursor = page["next_cursor"]
    return found
