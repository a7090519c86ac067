"""Holds what the system says against the sample's independent answer key, and its parts against each other."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence

from fillip.client.phone import Phone
from fillip.figures import Figure, expect, note
from fillip_demo.postgres import Ledger, Outcomes
from fillip_demo.sample import TENANT, expected
from fillip_demo.tally import Tally
from fillip_demo.valkey import count_differences

CATCH_UP_WITHIN_S = 30.0
LOOK_EVERY_S = 0.1

DOUBTS = {
    "rejected": "events rejected",
    "needless": "refusals by a limit with room left",
    "over_cap": "limit counters above their cap",
    "miscounted": "limit counters unlike their grants",
    "unpaid": "grants unlike incentives",
    "untold": "incentives missing in an inbox",
    "gapped": "inboxes that are not 1..n",
}


async def wait_until(reached: Callable[[], Awaitable[bool]], within_s: float) -> bool:
    """Whether `reached` became true in time."""
    deadline = time.monotonic() + within_s
    while not await reached():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(LOOK_EVERY_S)
    return True


async def check_ledger(ledger: Ledger, tally: Tally) -> list[Figure]:
    """Every count of the answer key, and what must not be."""
    truth = expected()
    outcomes = await ledger.count_outcomes(TENANT)
    states = await ledger.count_instances(TENANT)
    doubts = await ledger.count_doubts(TENANT)
    return [
        expect("events decided", tally.total, tally.settled),
        *_check_coupons(outcomes, truth),
        *_check_cashback(outcomes, truth),
        expect("three visits in a week: completed", truth["quest_completed"], states.get("completed", 0)),
        expect("three visits in a week: lapsed", truth["quest_lapsed"], states.get("lapsed", 0)),
        expect("three visits in a week: still open", truth["quest_open"], states.get("open", 0)),
        *(expect(text, 0, doubts[name]) for name, text in DOUBTS.items()),
    ]


def _check_coupons(outcomes: Iterable[Outcomes], truth: dict[str, int]) -> list[Figure]:
    counted: Counter[str] = Counter()
    for each in outcomes:
        if each.campaign_id.startswith("cj-"):
            counted[each.reason] += each.decisions
    return [
        expect("redemptions admissible", truth["redemptions_admissible"], counted.total()),
        expect("redemptions granted", truth["redemptions_granted"], counted["granted"]),
        expect("redemptions refused by the cap", truth["redemptions_capped"], counted["limit"]),
    ]


def _check_cashback(outcomes: Iterable[Outcomes], truth: dict[str, int]) -> list[Figure]:
    mine = {each.reason: each for each in outcomes if each.campaign_id == "cashback"}
    none = Outcomes("cashback", "", "", 0, 0)
    granted, capped = mine.get("granted", none), mine.get("limit", none)
    return [
        expect("cashback granted", truth["cashback_granted"], granted.decisions),
        expect("cashback refused by the daily budget", truth["cashback_capped"], capped.decisions),
        expect("cashback spent", truth["cashback_cents"], granted.value, "cents"),
    ]


async def check_phones(ledger: Ledger, phones: Sequence[Phone]) -> list[Figure]:
    """Whether each phone got its inbox, 1..n without gap or repeat, and all of it is acknowledged."""
    users = [phone.user_id for phone in phones]

    async def all_came() -> bool:
        inboxes = await ledger.read_inboxes(TENANT, users)
        return all(len(phone.received) >= len(inboxes[phone.user_id]) for phone in phones)

    async def all_acked() -> bool:
        return await ledger.count_acked(TENANT, users) >= frames

    await wait_until(all_came, CATCH_UP_WITHIN_S)
    await asyncio.gather(*(phone.acknowledge() for phone in phones))
    inboxes = await ledger.read_inboxes(TENANT, users)
    frames = sum(map(len, inboxes.values()))
    await wait_until(all_acked, CATCH_UP_WITHIN_S)
    whole = sum(is_whole(phone, inboxes[phone.user_id]) for phone in phones)
    return [
        expect("phones: frames are the inbox, 1..n", len(phones), whole),
        expect("phones: frames", frames, sum(len(phone.received) for phone in phones)),
        expect("phones: frames acknowledged", frames, await ledger.count_acked(TENANT, users)),
        note("phones: the busiest one", max(len(phone.received) for phone in phones), "frames"),
        note("phones: had to resume", sum(phone.resumed for phone in phones), "times"),
    ]


def is_whole(phone: Phone, inbox: list[tuple[int, str]]) -> bool:
    """Whether the phone got exactly this inbox, numbered 1..n, in order."""
    return phone.received == inbox and [seq for seq, _ in inbox] == list(range(1, len(inbox) + 1))


async def check_projection(ledger: Ledger, valkey_url: str) -> Figure:
    """Whether Valkey mirrors every limit counter, as soon as it has caught up."""
    counters = await ledger.read_counters(TENANT)

    async def same() -> bool:
        return await count_differences(valkey_url, TENANT, counters) == 0

    await wait_until(same, CATCH_UP_WITHIN_S)
    different = await count_differences(valkey_url, TENANT, counters)
    return expect(f"Valkey: of {len(counters):,} counters unlike the ledger", 0, different)
