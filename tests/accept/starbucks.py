"""starbucks: ten offers as ten ordinary campaigns, every completion by its purchase; and what wrong engines would say."""

import csv
import gzip
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import psycopg
from msgspec import Struct

from fillip.app.up import Stack
from fillip.client.api import ApiClient
from fillip.client.book import define_actions, launch_campaigns
from fillip.figures import Figure, expect, note
from tests.accept import offers
from tests.accept.completejourney import send_twice
from tests.accept.lane import open_lane
from tests.live.running import Running, fetch, make_tenant, send, wait_until_settled
from tests.oracle.compare import count_breaches, find_differences
from tests.oracle.model import Book, Model, Seen

ABSENT = "its data is not to be shipped: set FILLIP_SHARED_DATA to a folder that has starbucks/transcript.csv.gz"
EVENTS, COMPLETIONS, REWARDS_CENTS = 272_955, 33_579, 16_467_600
BUDGET_CENTS, IN_BUDGET = 10_000_000, 20_226
ONE_A_DAY = {"limit_id": "one-a-day", "scope": "user", "measure": "count", "span": "day", "cap": 1}
THREE = {"limit_id": "three", "scope": "user", "measure": "count", "span": "lifetime", "cap": 3}
BUDGET = {
    "limit_id": "budget",
    "scope": "tenant",
    "measure": "value",
    "span": "lifetime",
    "reward_kind": "cashback",
    "currency": "USD",
    "cap": BUDGET_CENTS,
}
BEGAN_AT = datetime(2018, 7, 27, tzinfo=UTC)
LASTS = timedelta(days=31)
"""All of it had happened by then: nothing lies ahead of its arrival."""
ACTIONS = {"received": "OFFER_RECEIVED", "viewed": "OFFER_VIEWED", "transaction": "PURCHASE"}
GRANTS = """
    SELECT d.campaign_id, split_part(d.instance, '@', 1), d.event_id, d.user_id, i.value, i.inbox_seq
    FROM incentive i JOIN decision d USING (tenant_id, decision_id)
    WHERE i.tenant_id = $1 ORDER BY d.user_id, i.inbox_seq"""

find_data = offers.find_data

Event = dict[str, Any]
Tell = Callable[[str], None]


class Completion(Struct, frozen=True):
    """One granted offer: which receipt of it, by which purchase, of which user."""

    receipt: str
    purchase: str
    user: str
    offer: int


async def accept(stack: Stack, tell: Tell) -> list[Figure]:
    """The exact rule, caps on top of it, and each wrong rule of the data's README."""
    return [
        *await _accept_exact(stack, tell),
        *await _accept_again(stack, tell),
        *await _accept_caps(stack, tell),
        *await _accept_budget(stack, tell),
        *await _score_definitions(stack, tell),
        *await _score_order(stack, tell),
        *await _score_faults(stack, tell),
    ]


async def _accept_exact(stack: Stack, tell: Tell) -> list[Figure]:
    _set_up(stack, "exact", offers.exact())
    sent = await _replay(stack, "exact", read_events(), tell)
    rows = await fetch(stack, GRANTS, "exact")
    got, key = [_read_completion(row) for row in rows], read_truth()
    right = len(set(got) & set(key))
    return [
        expect("events sent", EVENTS, sent),
        expect("completions, by receipt and purchase", COMPLETIONS, right),
        expect("extra", 0, len(got) - right),
        expect("users whose completions come in another order", 0, _count_reordered(got, key)),
        expect("rewards", REWARDS_CENTS, sum(row[4] for row in rows), "cents"),
    ]


async def _accept_again(stack: Stack, tell: Tell) -> list[Figure]:
    """Everything twice, the second time up to 24,000 messages later, and the users' streams shuffled together."""
    _set_up(stack, "again", offers.exact())
    await _replay(stack, "again", send_twice(shuffle(list(read_deciding()))), tell)
    once, again = await fetch(stack, GRANTS, "exact"), await fetch(stack, GRANTS, "again")
    rejected = await fetch(stack, "SELECT count(*) FROM rejection WHERE tenant_id = 'again'")
    return [
        expect("twice and shuffled: grants that differ, with their inbox number", 0, len(set(once) ^ set(again))),
        expect("twice and shuffled: grants", COMPLETIONS, len(again)),
        expect("twice and shuffled: taken for conflicts", 0, rejected[0][0]),
    ]


async def _accept_caps(stack: Stack, tell: Tell) -> list[Figure]:
    """Caps of a user's own: the same grants on any number of partitions."""
    figures = []
    for limit, goal in ((ONE_A_DAY, 30_504), (THREE, 28_840)):
        name = str(limit["limit_id"])
        wanted = _cap(name)
        _set_up(stack, name, offers.exact(), [limit])
        await _replay(stack, name, read_deciding(), tell)
        _set_up(stack, f"{name}-1", offers.exact(), [limit])
        async with open_lane(stack, f"{name}.", partitions=1) as lane:
            await _replay(lane, f"{name}-1", read_deciding(), tell)
        for tenant, partitions in ((name, stack.settings.partitions), (f"{name}-1", 1)):
            got = [_read_completion(row) for row in await fetch(stack, GRANTS, tenant)]
            figures += [
                expect(f"cap {name}, {partitions} partitions: granted", goal, len(got)),
                expect(
                    f"cap {name}, {partitions} partitions: unlike a replay of the key", 0, len(set(got) ^ set(wanted))
                ),
            ]
    return figures


async def _accept_budget(stack: Stack, tell: Tell) -> list[Figure]:
    """On one partition the log's order is the file's; on eight the winners depend on who came first."""
    _set_up(stack, "budget-one", offers.exact(), [BUDGET])
    async with open_lane(stack, "one.", partitions=1) as lane:
        await _replay(lane, "budget-one", read_deciding(), tell)
    one = await fetch(stack, GRANTS, "budget-one")
    _set_up(stack, "budget-eight", offers.exact(), [BUDGET])
    await _replay(stack, "budget-eight", read_deciding(), tell)
    eight = await fetch(stack, GRANTS, "budget-eight")
    tell("asking the oracle about every decision")
    differences, breaches = ask_oracle(stack, "budget-eight", offers.exact(), [BUDGET])
    return [
        expect("budget on one partition: granted", IN_BUDGET, len(one)),
        expect("budget on one partition: spent", BUDGET_CENTS, sum(row[4] for row in one), "cents"),
        note("budget on eight partitions: granted", len(eight)),
        note("budget on eight partitions: spent", sum(row[4] for row in eight), "cents"),
        expect("budget on eight partitions: decisions unlike the oracle's (L2)", 0, len(differences)),
        *[expect(f"budget on eight partitions: {name}", 0, count) for name, count in breaches.items()],
    ]


async def _score_definitions(stack: Stack, tell: Tell) -> list[Figure]:
    """Wrong rules that a marketer could write: all of them as campaigns of one tenant, side by side."""
    wrong = offers.wrong()
    campaigns = {name: each for variant in wrong.values() for name, each in variant.campaigns.items()}
    limits = [limit for variant in wrong.values() for limit in variant.limits]
    _set_up(stack, "wrong", campaigns, limits)
    await _replay(stack, "wrong", read_deciding(), tell)
    rows = await fetch(stack, GRANTS, "wrong")
    exact = await fetch(stack, GRANTS, "exact")
    figures = []
    for name, variant in wrong.items():
        kept = [row for row in exact if row[0] in variant.unchanged]
        figures.append(_score(name, variant.goal, [row for row in rows if row[0] in variant.campaigns] + kept))
    return figures


async def _score_order(stack: Stack, tell: Tell) -> list[Figure]:
    """An engine that sorts each hour's purchases first: so are they sent."""
    _set_up(stack, "sorted", offers.exact())
    events = sorted(read_deciding(), key=lambda event: (event["time"], event["type"] != "PURCHASE"))
    await _replay(stack, "sorted", events, tell)
    return [_score("purchases before receipts", (33_126, 31_051, 2_075, 2_528), await fetch(stack, GRANTS, "sorted"))]


async def _score_faults(stack: Stack, tell: Tell) -> list[Figure]:
    """Wrong engines that no definition can express: a worker with a planted fault, on topics of its own."""
    figures = []
    for name, fault, campaigns, goal in (
        ("second receipt replaces the first", "replace", offers.exact(), (33_048, 33_048, 0, 531)),
        ("one instance a purchase", "first-only", offers.counting_all(), (31_287, 28_641, 2_646, 4_938)),
    ):
        _set_up(stack, fault, campaigns)
        async with open_lane(stack, f"{fault}.", partitions=8, fault=fault) as lane:
            await _replay(lane, fault, read_deciding(), tell)
        figures.append(_score(name, goal, await fetch(stack, GRANTS, fault)))
    return figures


def ask_oracle(
    stack: Stack, tenant: str, campaigns: dict[str, Any], limits: list[dict[str, Any]]
) -> tuple[list[str], dict[str, int]]:
    """L2 and the invariants for a tenant that was sent what decides, in the file's order."""
    book = Book(
        {"time_zone": "UTC", "clock": "history"},
        offers.ACTIONS,
        {name: {"state": "running", "definition": each} for name, each in campaigns.items()},
        {str(limit["limit_id"]): limit for limit in limits},
    )
    named = (event | {"tenantid": tenant} for event in read_deciding())
    log = (Seen(event, BEGAN_AT + LASTS, book, offset) for offset, event in enumerate(named))
    model = Model()
    model.read(log)
    with psycopg.connect(stack.settings.owner_dsn, autocommit=True) as connection:
        return find_differences(connection, tenant, limits, model), count_breaches(connection, tenant)


def read_events() -> Iterator[Event]:
    """Receipts, views and purchases as CloudEvents, in the file's order."""
    ids = {row["offer_idx"]: row["id"] for row in offers.read_portfolio()}
    for row in _read("transcript.csv.gz"):
        if row["event"] == "completed":
            continue
        data: Event = {"seq": int(row["seq"]), "hour": int(row["hour"])}
        if row["offer_idx"]:
            data |= {"offer": int(row["offer_idx"]), "offerId": ids[row["offer_idx"]]}
        if row["amount_cents"]:
            data |= {"amountCents": int(row["amount_cents"]), "currency": "USD"}
        yield {
            "specversion": "1.0",
            "id": f"sb-{row['seq']}",
            "source": "starbucks",
            "type": ACTIONS[row["event"]],
            "subject": f"u{row['user_idx']}",
            "time": (BEGAN_AT + timedelta(hours=int(row["hour"]))).isoformat(),
            "data": data,
        }


def read_deciding() -> Iterator[Event]:
    """Receipts and purchases: viewing plays no part, as the exact run shows."""
    return (event for event in read_events() if event["type"] != "OFFER_VIEWED")


def shuffle(events: list[Event]) -> Iterator[Event]:
    """Each user's events in their order, the users' streams shuffled against each other."""
    streams = defaultdict(list)
    for event in reversed(events):
        streams[event["subject"]].append(event)
    turns = [event["subject"] for event in events]
    random.Random(7).shuffle(turns)
    return (streams[user].pop() for user in turns)


@cache
def read_truth() -> list[Completion]:
    """The answer key, in its order."""
    return [
        Completion(f"sb-{r['receipt_seq']}", f"sb-{r['purchase_seq']}", f"u{r['user_idx']}", int(r["offer_idx"]))
        for r in _read("truth.csv.gz")
    ]


def _cap(tenant: str) -> list[Completion]:
    """The key's completions that a cap leaves, in its order."""
    hours = [int(row["hour"]) for row in _read("truth.csv.gz")]
    used: Counter[tuple[str, int]] = Counter()
    left = []
    for hour, completion in zip(hours, read_truth(), strict=True):
        window = (completion.user, hour // 24 if tenant == "one-a-day" else 0)
        if used[window] < (1 if tenant == "one-a-day" else 3):
            used[window] += 1
            left.append(completion)
    return left


def _score(name: str, goal: tuple[int, int, int, int], rows: Iterable[tuple[Any, ...]]) -> Figure:
    """Predicted, right, extra, missed: by user, offer and hour, as the data's README counts them."""
    hours = _read_hours()
    completions = [_read_completion(row) for row in rows]
    predicted = Counter((c.user, c.offer, hours[c.purchase]) for c in completions)
    key = Counter((c.user, c.offer, hours[c.purchase]) for c in read_truth())
    counts = (predicted.total(), (predicted & key).total(), (predicted - key).total(), (key - predicted).total())
    return expect(f"a wrong engine: {name}: predicted, right, extra, missed", _list(goal), _list(counts))


def _list(counts: tuple[int, ...]) -> str:
    return ", ".join(f"{count:,}" for count in counts)


@cache
def _read_hours() -> dict[str, int]:
    return {f"sb-{row['seq']}": int(row["hour"]) for row in _read("transcript.csv.gz")}


def _read_completion(row: tuple[Any, ...]) -> Completion:
    campaign, receipt, purchase, user, *_ = row
    return Completion(receipt, purchase, user, int(campaign.rpartition("-")[2]))


def _count_reordered(got: Iterable[Completion], key: Iterable[Completion]) -> int:
    lists: tuple[dict[str, list[Completion]], ...] = (defaultdict(list), defaultdict(list))
    for found, completions in zip(lists, (got, key), strict=True):
        for completion in completions:
            found[completion.user].append(completion)
    return sum(lists[0].get(user) != lists[1].get(user) for user in lists[0].keys() | lists[1].keys())


def _set_up(stack: Stack, tenant: str, campaigns: dict[str, Any], limits: list[dict[str, Any]] | None = None) -> None:
    with ApiClient(stack.doors.api, make_tenant(stack, tenant, clock="history")) as client:
        define_actions(client, offers.ACTIONS)
        launch_campaigns(client, campaigns, limits or [])


async def _replay(stack: Running, tenant: str, events: Iterable[Event], tell: Tell) -> int:
    sent = await send(stack, (event | {"tenantid": tenant} for event in events))
    tell(f"tenant {tenant}: {sent:,} events sent")
    await wait_until_settled(stack)
    await fetch(stack, "ANALYZE decision, incentive")  # after a bulk import the planner knows nothing of it yet
    tell(f"tenant {tenant}: settled")
    return sent


def _read(name: str) -> Iterator[dict[str, str]]:
    folder = offers.find_data()
    assert folder, ABSENT
    with gzip.open(folder / name, "rt", newline="") as file:
        yield from csv.DictReader(file)
