"""The year of the sample through the whole path, watched, then checked."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

from fillip.client.api import ApiClient
from fillip.client.phone import Incentive, Phone, Trace, connected
from fillip.figures import Figure, at_most, expect, note
from fillip.stream.kafka import Tail
from fillip_demo import checks
from fillip_demo.board import show_board
from fillip_demo.demo_stack import DemoStack, beside
from fillip_demo.postgres import Ledger
from fillip_demo.replay import replay
from fillip_demo.reports import check_reports
from fillip_demo.sample import TENANT, events
from fillip_demo.sample.tables import rows
from fillip_demo.tally import Tally, percentile
from fillip_demo.watch import follow_announcements, follow_ledger, kill_workers, watch_processes

TOTAL = 164_539
BUSY_PHONES, OTHER_PHONES = 10, 10
START_WITHIN_S, FIRST_START_WITHIN_S = 20, 300
ARRIVE_WITHIN_S = 20
LITTLE_BYTES = 50_000  # of WAL: the idle server writes some by itself


async def replay_year(demo: DemoStack, ledger: Ledger, kills: int) -> tuple[list[Figure], list[Figure]]:
    """The whole year through the path, watched; then every check."""
    stack, users = demo.stack, choose_phone_users()
    tally, sent_us = Tally(TOTAL, len(users)), dict[str, int]()

    def watch(incentive: Incentive, trace: Trace | None, now_us: int) -> None:
        tally.frames += 1
        tally.latencies_ms.append((now_us - sent_us[incentive.event_id]) / 1000)

    phones = [Phone(stack.doors.api, demo.grocer_key, user, watch) for user in users]
    demo.screen.print(f"connecting {len(phones)} phones, then replaying {TOTAL:,} events of 2017 through Kafka")
    tail = Tail(stack.settings.kafka_bootstrap, [demo.topics.decided, demo.topics.generated])
    async with connected(phones), tail, demo.open_producer(linger_ms=5) as producer:
        tally.began_at = time.monotonic()
        background = [
            show_board(demo.screen, tally),
            follow_ledger(ledger, tally, stack),
            follow_announcements(tail, demo.topics, tally, TENANT, set(users)),
            watch_processes(stack, tally),
            kill_workers(stack, tally, kills),
        ]
        async with beside(*background):
            await replay(producer, demo.topics.received, events(), tally, sent_us, set(users))
            await _drain(tally, kills)
        whole_s = tally.elapsed_s
        counts = await _check_all(demo, ledger, tally, phones, kills)
    return counts, _measure_replay(demo, tally, whole_s)


async def _drain(tally: Tally, kills: int) -> None:
    """Until all is decided and announced, and has come to the phones; what never comes, the checks will find."""
    await tally.until(lambda: tally.settled >= tally.sent and tally.kills >= kills)
    with suppress(TimeoutError):
        async with asyncio.timeout(ARRIVE_WITHIN_S):
            await tally.until(lambda: tally.unannounced_bytes <= LITTLE_BYTES and tally.frames >= tally.told)


async def _check_all(
    demo: DemoStack, ledger: Ledger, tally: Tally, phones: Sequence[Phone], kills: int
) -> list[Figure]:
    demo.screen.print("checking the ledger against the answer key, and inboxes, reports and projection against it")
    figures = await checks.check_ledger(ledger, tally)
    figures += await checks.check_phones(ledger, phones)
    with ApiClient(demo.stack.doors.analyse, demo.grocer_key) as reports:
        figures += await check_reports(ledger, reports)
    figures.append(await checks.check_projection(ledger, demo.stack.settings.valkey_url))
    figures.append(expect("processes that ended by themselves", 0, len(tally.crashes)))
    if kills:
        figures.append(expect("worker killed with -9 during the replay", kills, tally.kills, "times"))
    return figures


def _measure_replay(demo: DemoStack, tally: Tally, whole_s: float) -> list[Figure]:
    name = "very first start, with fetching Kafka, to the first event" if demo.first else "start to the first event"
    to_first_event_s = tally.began_at - demo.began
    return [
        at_most(name, FIRST_START_WITHIN_S if demo.first else START_WITHIN_S, round(to_first_event_s, 1), "s"),
        note("replay: decided by one worker", round(tally.total / whole_s), "events/s"),
        note("replay: event to frame with backlog: p50", round(percentile(tally.latencies_ms, 0.5)), "ms"),
        note("replay: event to frame with backlog: p99", round(percentile(tally.latencies_ms, 0.99)), "ms"),
    ]


def choose_phone_users() -> list[str]:
    """The ten households with most baskets, and ten spread over the others."""
    baskets: dict[str, int] = {}
    for row in rows("baskets"):
        baskets[row[1]] = baskets.get(row[1], 0) + 1
    ranked = sorted(baskets, key=lambda household: (-baskets[household], int(household)))
    others = ranked[BUSY_PHONES :: (len(ranked) - BUSY_PHONES) // OTHER_PHONES][:OTHER_PHONES]
    return [f"h{household}" for household in ranked[:BUSY_PHONES] + others]
