"""completejourney: real redemptions against real campaigns, once, crossed with other campaigns, and all twice."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from msgspec import Struct

from fillip.app.up import Stack
from fillip.client.api import ApiClient
from fillip.client.book import define_actions, launch_campaigns, upload_cohort
from fillip.figures import Figure, expect
from fillip_demo import sample
from tests.live.running import fetch, make_tenant, send, wait_until_settled

REDEMPTIONS, GRANTED, CAPPED = 2_102, 2_075, 27
PAIRS, PAIRS_ADMISSIBLE = 54_652, 26
NEAR, FAR = 6_000, 24_000
"""How many events wait to be sent again; more than the 5,000 that one batch holds at most."""

DECISIONS = "SELECT campaign_id, event_id, instance, outcome, reason, limits FROM decision WHERE tenant_id = $1"
INCENTIVES = """
    SELECT i.campaign_id, i.event_id, i.reward_index, i.user_id, i.kind, i.value, i.currency, i.payload, b.seq
    FROM incentive i LEFT JOIN inbox b USING (tenant_id, incentive_id) WHERE tenant_id = $1"""
INSTANCES = """
    SELECT campaign_id, user_id, instance_key, occurrence, state, started_at, ends_at, start_event_id, steps
    FROM quest_instance WHERE tenant_id = $1"""
INBOX = "SELECT count(*) FROM inbox WHERE tenant_id = $1"


class Outcome(Struct, frozen=True):
    """All that a tenant's events left, in names that do not hold the tenant's."""

    decisions: frozenset[str]
    incentives: frozenset[str]
    instances: frozenset[str]
    inbox: int


async def accept(stack: Stack, tell: Callable[[str], None]) -> list[Figure]:
    """Everything the data's answer key says, through the real path."""
    return [
        *await _accept_uncapped(stack, tell),
        *await _accept_capped(stack, tell),
        *await _accept_twice(stack, tell),
        *await _accept_pairs(stack, tell),
    ]


async def _accept_uncapped(stack: Stack, tell: Callable[[str], None]) -> list[Figure]:
    _set_up(stack, "uncapped", capped=False)
    redemptions = (event for event in sample.events() if event["type"] == "REDEEM")
    await _replay(stack, "uncapped", redemptions, tell)
    outcomes = await _count_redemptions(stack, "uncapped")
    return [
        expect("redemptions admissible, no cap", REDEMPTIONS, outcomes["granted", "granted"], "decisions"),
        expect("refused, no cap", 0, outcomes.total() - outcomes["granted", "granted"], "decisions"),
    ]


async def _accept_capped(stack: Stack, tell: Callable[[str], None]) -> list[Figure]:
    _set_up(stack, "once", capped=True)
    await _replay(stack, "once", sample.events(), tell)
    outcomes = await _count_redemptions(stack, "once")
    quests = dict(await fetch(stack, "SELECT state, count(*) FROM quest_instance WHERE tenant_id = 'once' GROUP BY 1"))
    key = sample.expected()
    return [
        expect("redemptions granted, one per household and coupon", GRANTED, outcomes["granted", "granted"]),
        expect("refused by that cap", CAPPED, await _count_refused_by_cap(stack, "once")),
        expect("decided otherwise", 0, outcomes.total() - outcomes["granted", "granted"] - outcomes["denied", "limit"]),
        expect("quests completed", key["quest_completed"], quests.get("completed", 0)),
        expect("quests lapsed", key["quest_lapsed"], quests.get("lapsed", 0)),
        expect("quests open", key["quest_open"], quests.get("open", 0)),
    ]


async def _accept_twice(stack: Stack, tell: Callable[[str], None]) -> list[Figure]:
    _set_up(stack, "twice", capped=True)
    before = await _count_rejected(stack)
    sent = await _replay(stack, "twice", send_twice(sample.events()), tell)
    once, twice = await _read_outcome(stack, "once"), await _read_outcome(stack, "twice")
    return [
        expect("sent, each event twice", 2 * len(list(sample.events())), sent, "events"),
        expect("decisions that differ from the single run", 0, len(once.decisions ^ twice.decisions)),
        expect("incentives that differ, with their inbox number", 0, len(once.incentives ^ twice.incentives)),
        expect("quest instances that differ", 0, len(once.instances ^ twice.instances)),
        expect("inbox entries", once.inbox, twice.inbox),
        expect("duplicates taken for conflicts", 0, await _count_rejected(stack) - before),
    ]


async def _count_rejected(stack: Stack) -> int:
    """Of this tenant, and of those of whom no tenant is known: what ran before on this set may have left some."""
    found = await fetch(stack, "SELECT count(*) FROM rejection WHERE tenant_id = 'twice' OR tenant_id IS NULL")
    return int(found[0][0])


async def _accept_pairs(stack: Stack, tell: Callable[[str], None]) -> list[Figure]:
    sent = await _replay(stack, "once", sample.pairs(), tell)
    query = "SELECT outcome, reason FROM decision WHERE tenant_id = 'once' AND event_id LIKE 'cj-x%'"
    outcomes = Counter(await fetch(stack, query))
    key = sample.expected()
    return [
        expect("redemption x other campaign, sent", PAIRS, sent, "events"),
        expect("pairs admissible", PAIRS_ADMISSIBLE, outcomes.total(), "decisions"),
        expect("of these granted", key["pairs_granted"], outcomes["granted", "granted"]),
        expect("of these refused by the cap", key["pairs_capped"], outcomes["denied", "limit"]),
    ]


def send_twice(events: Iterable[sample.Event]) -> Iterator[sample.Event]:
    """Each event twice, the second time at least 6,000 messages later, half of them at least 24,000."""
    waiting: tuple[deque[sample.Event], ...] = (deque(), deque())
    for index, event in enumerate(events):
        yield event
        late = waiting[index % 2]
        late.append(event)
        if len(late) > (NEAR, FAR)[index % 2]:
            yield late.popleft()
    for late in waiting:
        yield from late


def _set_up(stack: Stack, tenant: str, *, capped: bool) -> None:
    """The sample's book without cashback, whose shared budget makes winners depend on the interleaving."""
    campaigns = {name: each for name, each in sample.campaigns().items() if name != "cashback"}
    limits = [limit for limit in sample.limits() if limit.get("campaign_id") in campaigns]
    with ApiClient(stack.doors.api, make_tenant(stack, tenant, clock="history")) as client:
        define_actions(client, sample.actions())
        for cohort in (name for name, each in campaigns.items() if "cohorts" in each):
            upload_cohort(client, cohort, sample.cohort_csv(cohort))
        launch_campaigns(client, campaigns, limits if capped else [])


async def _replay(stack: Stack, tenant: str, events: Iterable[sample.Event], tell: Callable[[str], None]) -> int:
    sent = await send(stack, (event | {"tenantid": tenant} for event in events))
    await wait_until_settled(stack)
    tell(f"{sent:,} events of tenant {tenant} settled")
    return sent


async def _count_redemptions(stack: Stack, tenant: str) -> Counter[tuple[str, str]]:
    query = "SELECT outcome, reason FROM decision WHERE tenant_id = $1 AND campaign_id LIKE 'cj-%'"
    return Counter(await fetch(stack, query, tenant))


async def _count_refused_by_cap(stack: Stack, tenant: str) -> int:
    """Denials that name the campaign's own cap, full at one."""
    query = "SELECT campaign_id, limits FROM decision WHERE tenant_id = $1 AND outcome = 'denied' AND reason = 'limit'"
    return sum(_is_full(campaign, limits) for campaign, limits in await fetch(stack, query, tenant))


def _is_full(campaign: str, limits: list[dict[str, Any]]) -> bool:
    return [(use["limit_id"], use["used_before"], use["amount"], use["cap"]) for use in limits] == [
        (f"{campaign}-once", 1, 1, 1)
    ]


async def _read_outcome(stack: Stack, tenant: str) -> Outcome:
    async def read_set(query: str) -> frozenset[str]:
        return frozenset(map(repr, await fetch(stack, query, tenant)))

    return Outcome(
        decisions=await read_set(DECISIONS),
        incentives=await read_set(INCENTIVES),
        instances=await read_set(INSTANCES),
        inbox=(await fetch(stack, INBOX, tenant))[0][0],
    )
