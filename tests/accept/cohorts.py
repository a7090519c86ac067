"""completejourney's 27 cohorts by list, by SQL over ENROLLED events and by these events as they come: the same members and decisions."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from fillip.app.up import Stack
from fillip.client.api import ApiClient
from fillip.client.book import ANY, define_actions, launch_campaigns, upload_cohort
from fillip.figures import Figure, expect
from fillip_demo import sample
from tests.accept.completejourney import PAIRS_ADMISSIBLE, REDEMPTIONS
from tests.live.running import fetch, make_tenant, send, wait_for, wait_until_settled

COUNT_ENROLLED = "SELECT count(*) AS n FROM events WHERE action = 'ENROLLED'"
ENROLLED = "SELECT user_id FROM events WHERE action = 'ENROLLED' AND data->>'$.campaign' = '{}'"
ALL_BUILT_WITHIN_S = 300.0
GRANTED = "SELECT user_id, campaign_id, event_id FROM decision WHERE tenant_id = $1 AND outcome = 'granted'"

Tell = Callable[[str], None]
Enroll = Callable[[], Awaitable[None]]
"""Sends the ENROLLED events of the tenant."""


async def accept(stack: Stack, tell: Tell) -> list[Figure]:
    """Each way in a tenant of its own; then each redemption, and each crossed with the campaigns it was not made in."""
    campaigns = {name: each for name, each in sample.campaigns().items() if "cohorts" in each}
    members, granted, seconds = {}, {}, {}
    for way, build in (("upload", _upload), ("sql", _select), ("realtime", _join)):
        key = make_tenant(stack, way, clock="history")
        with ApiClient(stack.doors.api, key) as client, ApiClient(stack.doors.analyse, key) as reports:
            define_actions(client, sample.actions())
            began = time.monotonic()
            await build(client, reports, list(campaigns), partial(_enroll, stack, way))
            seconds[way] = time.monotonic() - began
            members[way] = {name: read_members(client, name) for name in campaigns}
            launch_campaigns(client, campaigns, [])
        granted[way] = await _redeem(stack, way)
        tell(f"{way}: {sum(map(len, members[way].values())):,} members of 27 cohorts in {seconds[way]:.0f} s")
    listed = {name: {*sample.cohort_csv(name).decode().split()} for name in campaigns}
    real = {way: {each for each in found if not each[2].startswith("cj-x")} for way, found in granted.items()}
    return [
        *(expect(f"cohorts whose members differ from the file, {way}", 0, _count_other(members[way], listed)) for way in members),
        *(expect(f"redemptions admissible, {way}", REDEMPTIONS, len(real[way])) for way in granted),
        *(expect(f"pairs admissible, {way}", PAIRS_ADMISSIBLE, len(granted[way] - real[way])) for way in granted),
        *(expect(f"grants that differ from those by list, {way}", 0, len(granted["upload"] ^ granted[way])) for way in ("sql", "realtime")),
    ]  # fmt: skip


def read_members(client: ApiClient, cohort_id: str) -> set[str]:
    """The users of the list in force."""
    users, at = set[str](), f"/v1/cohorts/{cohort_id}/members?limit=200"
    cursor = ""
    while True:
        page = client.get(at + cursor)
        users |= {row["user_id"] for row in page["items"]}
        if not page["next_cursor"]:
            return users
        cursor = f"&cursor={page['next_cursor']}"


async def _enroll(stack: Stack, tenant: str) -> None:
    enrolled = (event for event in sample.events() if event["type"] == "ENROLLED")
    await send(stack, (event | {"tenantid": tenant} for event in enrolled))
    await wait_until_settled(stack)


async def _upload(client: ApiClient, _reports: ApiClient, cohorts: list[str], _enroll: Enroll) -> None:
    for cohort in cohorts:
        upload_cohort(client, cohort, sample.cohort_csv(cohort))


async def _select(client: ApiClient, reports: ApiClient, cohorts: list[str], enroll: Enroll) -> None:
    """Give each cohort its query as soon as all enrolments can be asked for; return when each has run."""
    await enroll()
    wanted = sum(event["type"] == "ENROLLED" for event in sample.events())

    async def are_loaded() -> bool:
        found = await asyncio.to_thread(reports.post, "/v1/reports/query", {"sql": COUNT_ENROLLED})
        return bool(found["rows"] == [{"n": wanted}])

    await wait_for("the enrolments to be loaded", are_loaded, within_s=60)
    for cohort in cohorts:
        client.post("/v1/cohorts", {"cohort_id": cohort, "name": cohort})
        query = {"sql": ENROLLED.format(cohort.removeprefix("cj-")), "every_minutes": 60}
        await asyncio.to_thread(client.put, f"/v1/cohorts/{cohort}/query", query, ANY)

    async def are_built() -> bool:
        await asyncio.sleep(0.5)
        return all(each["version"] for each in client.get("/v1/cohorts?limit=100")["items"])

    await wait_for("each query to have run", are_built, ALL_BUILT_WITHIN_S)


async def _join(client: ApiClient, _reports: ApiClient, cohorts: list[str], enroll: Enroll) -> None:
    """Give each cohort its rule, then let users enrol; return when each list is as long as all that enrolled."""
    for cohort in cohorts:
        client.post("/v1/cohorts", {"cohort_id": cohort, "name": cohort})
        rule = {"action": "ENROLLED", "rule": f'event.campaign == "{cohort.removeprefix("cj-")}"'}
        client.put(f"/v1/cohorts/{cohort}/rule", rule, ANY)

    def read_sizes() -> dict[str, tuple[int, int]]:
        found = client.get("/v1/cohorts?limit=100")["items"]
        return {each["cohort_id"]: (bool(each["version"]), each["size"]) for each in found}

    async def are_empty() -> bool:
        return set((await asyncio.to_thread(read_sizes)).values()) == {(True, 0)}

    async def have_joined() -> bool:
        wanted = {name: (True, len({*sample.cohort_csv(name).split()})) for name in cohorts}
        return await asyncio.to_thread(read_sizes) == wanted

    await wait_for("each cohort to have its first list", are_empty, ALL_BUILT_WITHIN_S)
    await enroll()
    await wait_for("all to have joined", have_joined, within_s=60)


async def _redeem(stack: Stack, tenant: str) -> set[tuple[Any, ...]]:
    """Send every redemption and pair; what was granted."""
    redemptions = (event for event in sample.events() if event["type"] == "REDEEM")
    for events in (redemptions, sample.pairs()):
        await send(stack, (event | {"tenantid": tenant} for event in events))
    await wait_until_settled(stack)
    return set(await fetch(stack, GRANTED, tenant))


def _count_other(members: dict[str, set[str]], listed: dict[str, set[str]]) -> int:
    return sum(members[name] != listed[name] for name in listed)
