"""completejourney's redemptions and its quest: what a backtest tells, what live granted, and what a backfill grants are the same."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from msgspec import Struct

from fillip.app.up import Stack
from fillip.client.api import ApiClient
from fillip.client.book import ANY, define_actions, launch_campaigns, upload_cohort
from fillip.core.backtest.past import build_past_book, list_actions
from fillip.core.backtest.question import BacktestQuestion
from fillip.core.book.book import Book
from fillip.figures import Figure, expect
from fillip.manage.analyse_http import open_client
from fillip.manage.backtest.history_http import AnalyseHistory
from fillip.manage.backtest.past_postgres import PastLedger
from fillip.manage.backtest.recorded_postgres import load_recorded_books
from fillip.manage.backtest.replay import Replay
from fillip.match import Meet
from fillip.match.numbers_postgres import PostgresNumbers
from fillip.match.postgres import PostgresBooks
from fillip.match.users_postgres import PostgresUsers
from fillip_demo import sample
from fillip_demo.sample.tables import rows
from tests.accept.completejourney import CAPPED, GRANTED, REDEMPTIONS
from tests.live.running import fetch, make_tenant, send, wait_for, wait_until_settled
from tests.manage.past_world import ToldTally

TENANT, REDEEMED, QUEST, COPY = "past", "redemptions", "three-visits", "copy-of-"
REDEMPTION: dict[str, Any] = {
    "kind": "SIMPLE",
    "name": "Coupons of the campaigns that a household is in",
    "action": "REDEEM",
    "rule": 'event.campaign + ":" + event.coupon in lists.coupons && "cj-" + event.campaign in cohorts',
    "rewards": [{"kind": "cashback", "value": 100}],
}
ONCE: dict[str, Any] = {
    "limit_id": "once",
    "campaign_id": REDEEMED,
    "scope": "user_in_campaign",
    "measure": "count",
    "span": "lifetime",
    "cap": 1,
    "key": 'event.campaign + ":" + event.coupon',
}
YEAR = datetime(2017, 1, 1, tzinfo=UTC), datetime(2018, 1, 2, tzinfo=UTC)
"""The last baskets are of the night after it."""
SHOPPERS = 5
"""The quest is decided for one household of so many: 31,000 of its baskets."""
LOADED_WITHIN_S, DONE_WITHIN_S = 60.0, 600.0
COUNT = "SELECT count(*) AS n FROM events"
DECISIONS = "SELECT campaign_id, event_id, outcome, reason FROM decision WHERE tenant_id = $1"
USERS = (
    "SELECT campaign_id, count(DISTINCT user_id) FROM decision WHERE tenant_id = $1 AND outcome = 'granted' GROUP BY 1"
)

Tell = Callable[[str], None]
Said = set[tuple[str, str, str, str]]
"""(campaign, event, outcome, reason)"""


class Sums(Struct, frozen=True):
    """What a backtest and a backfill both tell of a campaign."""

    granted: int
    denied: Mapping[str, int]
    spend: Sequence[Any]
    days: Sequence[Any]


async def accept(stack: Stack, tell: Tell) -> list[Figure]:
    """A tenant whose campaign and quest have run; then copies of them, as drafts, and launched as of the year's start."""
    shift = _find_shift(datetime.now(UTC))
    key = make_tenant(stack, TENANT, clock="history")
    with ApiClient(stack.doors.api, key) as client, ApiClient(stack.doors.analyse, key) as reports:
        campaigns = _set_up(client)
        await _play(stack, reports, shift, tell)
        live = await _read_decisions(stack)
        span = {"from": _write(YEAR[0] + shift), "to": _write(YEAR[1] + shift)}
        recorded = {name: await _backtest(client, name, span | {"definitions": "recorded"}) for name in campaigns}
        said = await _decide_again(stack, campaigns, (YEAR[0] + shift, YEAR[1] + shift))
        tell(f"{len(live):,} decisions of {len(campaigns)} campaigns decided once more")
        copies = _draft_copies(client, campaigns)
        told = {name: await _backtest(client, copy, span) for name, copy in copies.items()}
        filled = await _backfill(client, copies, span["from"])
        tell("copies launched, and their past granted")
        granted = await _read_decisions(stack)
        users = dict(await fetch(stack, USERS, TENANT))
        again = await _backfill_again(client, copies)
        ended = await _read_decisions(stack)
    copied = {(name.removeprefix(COPY), *rest) for name, *rest in granted if name.startswith(COPY)}
    visits = sum(name == QUEST and outcome == "granted" for name, _, outcome, _ in live)
    differences = [each["differences"] for each in recorded.values()]
    return [
        *_expect_live(live),
        *_expect_redemptions("by the backtest, as recorded", recorded[REDEEMED]),
        *_expect_redemptions("by the backtest of a copy, a draft", told[REDEEMED]),
        *_expect_redemptions("by the backfill of the copy", filled[REDEEMED]),
        expect("decisions (event, outcome, reason) as recorded that differ from live's", 0, len(live ^ said)),
        expect("grants that the backtests' own comparison finds to differ", 0,
               sum(each[name] for each in differences for name in ("only_live", "only_backtest", "other_value"))),
        expect("quest: grants by the backtest, as recorded; live's", visits, recorded[QUEST]["granted"]),
        expect("quest: grants by the backtest of a copy", visits, told[QUEST]["granted"]),
        expect("quest: grants by the backfill of the copy", visits, filled[QUEST]["granted"]),
        expect("backfills whose count, denials, spend or days differ from what the backtest told", 0,
               sum(_sum_up(told[name]) != _sum_up(filled[name]) for name in copies)),
        expect("backfills that granted to another number of users", 0,
               sum(told[name]["granted_users"] != users.get(copy, 0) for name, copy in copies.items())),
        expect("decisions (event, outcome, reason) of backfills that differ from live's", 0, len(live ^ copied)),
        expect("grants that a second run adds", 0, sum(each["granted"] for each in again.values())),
        expect("decisions that a second run adds or changes", 0, len(granted ^ ended)),
    ]  # fmt: skip


def _expect_redemptions(how: str, result: Mapping[str, Any]) -> list[Figure]:
    return [
        expect(f"redemptions granted {how}", GRANTED, result["granted"]),
        expect(f"refused by the cap {how}", CAPPED, result["denied"].get("limit", 0)),
    ]


def _expect_live(live: Said) -> list[Figure]:
    redemptions = Counter(reason for name, _, _, reason in live if name == REDEEMED)
    return [
        expect("redemptions sent and decided live", REDEMPTIONS, redemptions.total()),
        expect("granted live", GRANTED, redemptions["granted"]),
        expect("refused live by the cap", CAPPED, redemptions["limit"]),
    ]


def _find_shift(now: datetime) -> timedelta:
    """Whole weeks by which the year is brought near: a backfill reaches 1,100 days back."""
    return (now - YEAR[1]) // timedelta(weeks=1) * timedelta(weeks=1)


def _set_up(client: ApiClient) -> dict[str, dict[str, Any]]:
    """The campaigns, launched. The 27 of coupons are one here: which coupons each takes is a list, and whom it is for a cohort."""
    known = sample.campaigns()
    cohorts = [name for name, each in known.items() if "cohorts" in each]
    define_actions(client, sample.actions())
    for cohort in cohorts:
        upload_cohort(client, cohort, sample.cohort_csv(cohort))
    pairs = [f"{campaign}:{coupon}" for coupon, campaign in rows("coupons")]
    client.put("/v1/lists/coupons", {"name": "campaign:coupon", "items": pairs}, {"If-None-Match": "*"})
    campaigns: dict[str, dict[str, Any]] = {REDEEMED: REDEMPTION, QUEST: dict(known[QUEST])}
    launch_campaigns(client, campaigns, [ONCE])
    return campaigns


async def _play(stack: Stack, reports: ApiClient, shift: timedelta, tell: Tell) -> None:
    """Send the redemptions, and some households' baskets; return once they are decided, and analyse has them."""
    sent = await send(stack, _choose_events(shift))
    await wait_until_settled(stack)

    async def are_loaded() -> bool:
        found = await asyncio.to_thread(reports.post, "/v1/reports/query", {"sql": COUNT})
        return bool(found["rows"] == [{"n": sent}])

    await wait_for("the events to be loaded", are_loaded, LOADED_WITHIN_S)
    tell(f"{sent:,} events decided live, and loaded")


def _choose_events(shift: timedelta) -> Iterator[sample.Event]:
    for event in sample.events():
        if event["type"] == "REDEEM" or (event["type"] == "PURCHASE" and int(event["subject"][1:]) % SHOPPERS == 0):
            yield event | {"tenantid": TENANT, "time": _shift(event["time"], shift)}


async def _backtest(client: ApiClient, campaign_id: str, asked: Mapping[str, str]) -> dict[str, Any]:
    """Its result."""
    made = await asyncio.to_thread(client.post, "/v1/backtests", {"campaign_id": campaign_id, **asked})

    async def find_result() -> dict[str, Any] | None:
        found = await asyncio.to_thread(client.get, f"/v1/backtests/{made['backtest_id']}")
        assert found["state"] != "failed", found["error"]
        result: dict[str, Any] | None = found["result"]
        return result

    return await _look_for(f"the backtest of {campaign_id}", find_result)


def _draft_copies(client: ApiClient, campaigns: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Drafts of the same, with the same cap; by the names of the campaigns."""
    copies = {name: f"{COPY}{name}" for name in campaigns}
    for name, copy in copies.items():
        client.post("/v1/campaigns", {"campaign_id": copy, "definition": campaigns[name]})
    client.post("/v1/limits", ONCE | {"limit_id": f"{COPY}once", "campaign_id": copies[REDEEMED]})
    return copies


async def _backfill(client: ApiClient, copies: Mapping[str, str], since: str) -> dict[str, dict[str, Any]]:
    """Launch each as of then; the results."""
    for copy in copies.values():
        await asyncio.to_thread(client.post, f"/v1/campaigns/{copy}/launch", {"backfill_from": since}, ANY)
    return {name: await _wait_until_filled(client, copy) for name, copy in copies.items()}


async def _backfill_again(client: ApiClient, copies: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    for copy in copies.values():
        await asyncio.to_thread(client.post, f"/v1/campaigns/{copy}/backfill")
    return {name: await _wait_until_filled(client, copy) for name, copy in copies.items()}


async def _wait_until_filled(client: ApiClient, campaign_id: str) -> dict[str, Any]:
    async def find_result() -> dict[str, Any] | None:
        found = await asyncio.to_thread(client.get, f"/v1/campaigns/{campaign_id}/backfill")
        assert found["state"] != "failed", found["error"]
        result: dict[str, Any] = found["result"]
        return result if found["state"] == "done" else None

    return await _look_for(f"the backfill of {campaign_id}", find_result)


async def _look_for(what: str, look: Callable[[], Awaitable[dict[str, Any] | None]]) -> dict[str, Any]:
    async def look_again() -> dict[str, Any] | None:
        await asyncio.sleep(0.2)  # requests of a key are counted
        return await look()

    return await wait_for(what, look_again, DONE_WITHIN_S)


async def _decide_again(stack: Stack, campaigns: Mapping[str, object], span: tuple[datetime, datetime]) -> Said:
    """Each decision of the backtests under recorded definitions, which the API sums up; by the same code, from the same analyse."""
    said: Said = set()
    async with (
        asyncpg.create_pool(stack.settings.dsn("fillip_worker"), min_size=0, max_size=3) as pool,
        open_client(stack.doors.analyse, stack.settings.analyse_key or "") as asking,
    ):
        [whole] = (await PostgresBooks(pool).pin([TENANT])).values()
        assert isinstance(whole, Book)
        ledger, meet = PastLedger(pool, TENANT), Meet(PostgresUsers(pool), PostgresNumbers(pool), lambda refusals: None)
        for name in campaigns:
            question = BacktestQuestion(TENANT, name, 1, *span, "recorded")
            asked, _ = await ledger.read_version(question, whole)
            books = await load_recorded_books(ledger, whole, name)
            book = build_past_book(whole, asked, *span)
            replay = Replay(book, whole.campaign_versions, meet, ledger, datetime.now(UTC), books)
            replay.tally = tally = ToldTally()
            await replay.play(AnalyseHistory(asking, question, list_actions([asked])), lambda done: None)
            said |= {
                (name, each.request.match.event.event_id, each.decision.outcome, each.decision.reason)
                for each in tally.decided
            }
    return said


async def _read_decisions(stack: Stack) -> Said:
    return {(row[0], row[1], row[2], row[3]) for row in await fetch(stack, DECISIONS, TENANT)}


def _sum_up(result: Mapping[str, Any]) -> Sums:
    """Without the days' spend, and what is reversed since: a backfill tells what it granted, in all."""
    days = [(day["day"], day["granted"], day["denied"]) for day in result["days"]]
    spend = [{name: value for name, value in each.items() if name != "reversed"} for each in result["spend"]]
    return Sums(result["granted"], result["denied"], spend, days)


def _shift(time: str, shift: timedelta) -> str:
    return _write(datetime.fromisoformat(time) + shift)


def _write(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
