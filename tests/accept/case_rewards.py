"""Cases 03, 04, 05, 07, 09 and 10: cohorts that rules ask for, instants, currencies of limits, rewards of nothing, zones."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from fillip.app.up import Stack
from fillip.client.api import ApiClient
from fillip.client.book import define_actions, launch_campaigns, upload_cohort
from fillip.figures import Figure, expect
from tests.accept.case_shop import BUY, POINTS, post, send
from tests.live.running import fetch, make_tenant, wait_for, wait_until_settled

ANY = {"If-Match": "*"}
FROZEN = '!("frozen" in cohorts)'
CASHBACK = [{"kind": "cashback", "value": 700}]
STEP = {"name": "buy", "action": "BUY", "rule": FROZEN}
OUTCOMES = "SELECT campaign_id, user_id, event_id, reason FROM decision WHERE tenant_id = $1"


async def play_cohort_under_a_rule(stack: Stack, folder: Path) -> list[Figure]:
    """03: a cohort that an expression asks for can't be deleted, and one that is not there can't be named."""
    given, key = read(folder / "campaign.json"), open_tenant(stack, "frozen")
    with ApiClient(stack.doors.api, key) as client:
        upload_cohort(client, "frozen", b"user_id\nsam\n")
        launch_campaigns(client, {given["campaign_id"]: given["definition"]}, [])
        other = [await call(stack, key, "DELETE", "/v1/cohorts/frozen")]
        await post_now(stack, key, "sam", "kim")
        granted = await fetch(stack, "SELECT user_id, value FROM incentive WHERE tenant_id = 'frozen'")
        misspelt = json.loads(json.dumps(given["definition"]).replace("frozen", "frozne"))
        status, said = await call(stack, key, "POST", "/v1/campaigns", {"definition": misspelt})
        asking = list(ask_for_frozen())
        for number, definition in enumerate(asking):
            name = f"asks-{number}"
            client.post("/v1/campaigns", {"campaign_id": name, "definition": definition})
            for campaign_id in (given["campaign_id"], f"asks-{number - 1}"):  # it alone is left
                for order in ("end", "archive"):
                    await call(stack, key, "POST", f"/v1/campaigns/{campaign_id}/{order}")
            other.append(await call(stack, key, "DELETE", "/v1/cohorts/frozen"))
        named = sum(
            status == 409 and name in answer["detail"]
            for (status, answer), name in zip(
                other, [given["campaign_id"], *(f"asks-{n}" for n in range(9))], strict=False
            )
        )
        await call(stack, key, "POST", f"/v1/campaigns/asks-{len(asking) - 1}/archive")
        freed, _ = await call(stack, key, "DELETE", "/v1/cohorts/frozen")
        return [
            expect("rewarded", "kim 700", ", ".join(f"{user} {value}" for user, value in granted)),
            expect("deletions refused (409) that name the campaign", 1 + len(asking), named),
            expect("deleted once all are archived", 204, freed),
            expect(
                "a misspelt cohort", "422 with its place", f"{status} with its place" * ("line 1, column" in str(said))
            ),
        ]


async def play_last_nanoseconds(stack: Stack, folder: Path) -> list[Figure]:
    """04: what is finer than a microsecond is cut off, at both doors, in trials and in schedules alike."""
    events, key = read(folder / "events.json"), open_tenant(stack, "nanoseconds", clock="history")
    last = "2026-02-28T23:59:59.999999Z"
    with ApiClient(stack.doors.api, key) as client:
        schedule = {"starts_at": "2026-02-01T00:00:00Z", "ends_at": last.replace("Z", "9Z")}
        daily = {"limit_id": "daily", "scope": "user", "measure": "count", "span": "day", "cap": 5}
        launch_campaigns(client, {"sale": POINTS | {"schedule": schedule}}, [daily])
        taken, _ = await post(stack, key, events)
        await send(stack, [event | {"id": f"k-{event['id']}", "tenantid": "nanoseconds"} for event in events])
        await wait_until_settled(stack)
        decided = "SELECT outcome, local_day::text, occurred_at FROM decision WHERE tenant_id = 'nanoseconds'"
        rows = await fetch(stack, decided)
        windows = "SELECT DISTINCT window_start::text FROM limit_counter WHERE tenant_id = 'nanoseconds'"
        tried = [
            client.post("/v1/campaigns/sale/explain", {"user_id": "sam", "action": "BUY", "time": event["time"]})
            for event in events
        ]
        instant = datetime.fromisoformat(last)
        return [
            expect("taken by HTTP", 202, taken),
            expect("granted on 2026-02-28, by both doors", 4, rows.count(("granted", "2026-02-28", instant))),
            expect("windows used", "2026-02-28", ", ".join(day for (day,) in await fetch(stack, windows))),
            expect(
                "trials that agree",
                2,
                sum(t["outcome"] == "granted" and t["event"]["occurred_at"] == last for t in tried),
            ),
            expect("end of the schedule", last, client.get("/v1/campaigns/sale")["definition"]["schedule"]["ends_at"]),
        ]


async def play_two_currencies(stack: Stack, folder: Path) -> list[Figure]:
    """05: a limit by value names its currency, and grants of another one do not touch it."""
    limit, key = read(folder / "limit.json"), open_tenant(stack, "miles")
    with ApiClient(stack.doors.api, key) as client:
        early = client.post("/v1/limits", limit | {"limit_id": "early", "cap": 10_000})["currency"]
        client.put("/v1/points/MILES", {"name": "Miles"})
        refused = await call(stack, key, "POST", "/v1/limits", limit)
        give = {
            name.lower(): POINTS | {"rewards": [{"kind": "points", "value": 600, "currency": name}]}
            for name in ("MILES", "POINTS")
        }
        launch_campaigns(client, give, [limit | {"currency": "POINTS"}])
        await post_now(stack, key, "sam", "sam")
        decided = await fetch(stack, OUTCOMES, "miles")
        used = client.get(f"/v1/limits/{limit['limit_id']}/usage")["items"]
        return [
            expect("without a currency, of several", "422 /currency", f"{refused[0]} {find_place(refused[1])}"),
            expect("without a currency, of one", "POINTS", early),
            expect("miles granted", 2, sum(c == "miles" and reason == "granted" for c, *_, reason in decided)),
            expect(
                "points granted, and refused",
                "granted, limit",
                ", ".join(r for c, *_, r in sorted(decided) if c == "points"),
            ),
            expect("used", "600 POINTS", ", ".join(f"{each['used']} {each['currency']}" for each in used)),
        ]


async def play_dead_on_arrival(stack: Stack, folder: Path) -> list[Figure]:
    """07: a reward that was over when its event came is refused as a whole, and uses neither a code nor a limit."""
    given, key = read(folder / "campaign.json"), open_tenant(stack, "dated")
    name = given["campaign_id"]
    with ApiClient(stack.doors.api, key) as client:
        client.post("/v1/coupon-pools", {"pool_id": "today", "name": "Today"})
        client.post("/v1/coupon-pools/today/generations", {"count": 2, "pattern": "#############"})
        await wait_for("two codes", lambda: count_free(client, 2))
        once = {"scope": "user_in_campaign", "measure": "count", "span": "lifetime", "cap": 1}
        lots = POINTS | {"rewards": [{"kind": "points", "value": 5, "expires_after_s": 3600}, {"kind": "custom"}]}
        step = {"name": "buy", "action": "BUY"}
        quest = {"kind": "QUEST", "name": "Q", "quest": {"steps": [step]}, "rewards": given["definition"]["rewards"]}
        before = {
            "schedule": {"starts_at": "2026-01-01T00:00:00Z"}
        }  # an event before the start would not meet them at all
        book = {each: made | before for each, made in ((name, given["definition"]), ("lots", lots), ("quest", quest))}
        launch_campaigns(
            client, book, [once | {"limit_id": f"once-{each}", "campaign_id": each} for each in (name, "lots")]
        )
        late = datetime.now(UTC) - timedelta(hours=3)
        await post(stack, key, buy("late", "sam", late))
        await wait_until_settled(stack)
        refused = await fetch(stack, OUTCOMES, "dated")
        used = await fetch(stack, "SELECT used FROM limit_counter WHERE tenant_id = 'dated' AND used > 0")
        told, free = client.get("/v1/users/sam/inbox")["items"], client.get("/v1/coupon-pools/today")["free"]
        tried = client.post(
            f"/v1/campaigns/{name}/explain", {"user_id": "kim", "action": "BUY", "time": late.isoformat()}
        )
        decided = client.get(f"/v1/campaigns/{name}/explain?event_id=late")
        await post(stack, key, buy("in-time", "sam", datetime.now(UTC)))
        await wait_until_settled(stack)
        granted = [row for row in await fetch(stack, OUTCOMES, "dated") if row[3] == "granted"]
        return [
            expect("refused as expired: coupon, points, quest", 3, sum(reason == "expired" for *_, reason in refused)),
            expect("limits used, codes taken, users told", "0, 0, 0", f"{len(used)}, {2 - free}, {len(told)}"),
            expect("trial and explanation", "expired, expired", f"{tried['reason']}, {decided['reason']}"),
            expect("granted in time", f"lots, {name}", ", ".join(sorted(campaign for campaign, *_ in granted))),
        ]


async def play_reward_of_nothing(stack: Stack, folder: Path) -> list[Figure]:
    """09: points and cashback without a value, a coupon of nothing: refused at their place; what needs no value is taken."""
    given, key = read(folder / "campaign.json"), open_tenant(stack, "nothing")
    places = []
    for reward in (*given["definition"]["rewards"], {"kind": "cashback", "value": 0}, {"kind": "points", "value": -1},
                   {"kind": "coupon"}):  # fmt: skip
        body = given | {"definition": given["definition"] | {"rewards": [reward]}}
        status, said = await call(stack, key, "POST", "/v1/campaigns", body)
        places.append(f"{status} {find_place(said).removeprefix('/definition')}")
    taken = 0
    for number, reward in enumerate(
        ({"kind": "custom"}, {"kind": "badge"}, {"kind": "points", "formula": {"of": "0"}})
    ):
        body = {"campaign_id": f"c{number}", "definition": given["definition"] | {"rewards": [reward]}}
        taken += (await call(stack, key, "POST", "/v1/campaigns", body))[0] == 201
    wanted = [*["422 /rewards/0/value"] * 3, "422 /rewards/0/pool"]
    return [
        expect("refused at", ", ".join(wanted), ", ".join(places)),
        expect("what needs no value, and a formula, taken", 3, taken),
    ]


async def play_zone_of_the_machine(stack: Stack, folder: Path) -> list[Figure]:
    """10: a zone that is whatever a machine is set to, for a tenant and in a rule."""
    tenant, key = read(folder / "tenant.json"), open_tenant(stack, "zones")
    operator, zones = (
        stack.settings.operator_key or "",
        ("Factory", "posixrules", "right/UTC", "posix/UTC", "leapseconds"),
    )
    refused, ruled = [], 0
    for zone in (tenant["time_zone"], *zones):
        status, said = await call(stack, operator, "POST", "/v1/tenants", tenant | {"time_zone": zone})
        refused.append(f"{status} {find_place(said)}")
        rule = f'timestamp("2026-01-31T09:30:00Z").getHours("{zone}") > 5'
        status, said = await call(stack, key, "POST", "/v1/campaigns", {"definition": POINTS | {"rule": rule}})
        ruled += status == 422 and "line 1, column" in str(said)
    taken, _ = await call(stack, operator, "POST", "/v1/tenants", tenant | {"time_zone": "Pacific/Apia"})
    return [
        expect("refused (422 /time_zone)", 1 + len(zones), refused.count("422 /time_zone")),
        expect("refused in a rule, with its place", 1 + len(zones), ruled),
        expect("a zone of IANA's", 201, taken),
    ]


def ask_for_frozen() -> Iterable[dict[str, Any]]:
    """Campaigns that ask for the cohort in each place where one can, all as drafts."""
    plain = {"kind": "SIMPLE", "name": "C", "action": "BUY", "rewards": CASHBACK}
    yield plain | {"cohorts": ["frozen"]}
    yield plain | {"rewards": [{"kind": "cashback", "formula": {"of": f"{FROZEN} ? 7 : 0"}}]}
    yield plain | {"rule": 'cohorts.exists(c, c.startsWith("fr"))'}
    quest = {"kind": "QUEST", "name": "Q", "rewards": CASHBACK}
    yield quest | {"quest": {"steps": [STEP]}}
    yield quest | {"quest": {"steps": [STEP | {"rule": "true", "sum": f"{FROZEN} ? 1 : 0", "at_least": 2}]}}
    start = {"at": "event", "action": "BUY", "rule": FROZEN}
    yield quest | {"quest": {"steps": [STEP | {"rule": "true"}], "start": start}}


def open_tenant(stack: Stack, tenant: str, clock: str = "live") -> str:
    """A tenant in UTC with the action BUY, and no campaign yet; its key."""
    key = make_tenant(stack, tenant, clock)
    with ApiClient(stack.doors.api, key) as client:
        define_actions(client, {"BUY": BUY})
    return key


def buy(event_id: str, user: str, at: datetime) -> dict[str, Any]:
    """A purchase."""
    what = {"specversion": "1.0", "id": event_id, "source": "/pos", "type": "BUY", "subject": user}
    return what | {"time": at.isoformat(), "data": {"amount": 1}}


async def post_now(stack: Stack, key: str, *users: str) -> None:
    """A purchase of each of these users, decided when this returns."""
    now = datetime.now(UTC)
    await post(stack, key, [buy(f"now-{number}", user, now) for number, user in enumerate(users)])
    await wait_until_settled(stack)


async def count_free(client: ApiClient, wanted: int) -> bool:
    """Whether the pool `today` has so many free codes."""
    return bool(client.get("/v1/coupon-pools/today")["free"] == wanted)


async def call(stack: Stack, key: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """(status, answer) of one request."""
    headers = {"Authorization": f"Bearer {key}", **ANY}
    async with httpx.AsyncClient(base_url=stack.doors.api, headers=headers) as http:
        answer = await http.request(method, path, json=body)
    return answer.status_code, answer.json() if answer.content else None


def find_place(answer: Any) -> str:
    """Where the first fault is."""
    return str(answer["errors"][0]["at"])


def read(path: Path) -> Any:
    """The input of a case."""
    return json.loads(path.read_text())
