"""Event to frame at a steady pace: taps of 50 users with a phone each, every tap earns a point."""

import asyncio
import gc
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise

from msgspec import Struct

from fillip.client.events import encode_events
from fillip.client.phone import Incentive, Phone, Trace, connected
from fillip.core.errors import Crash
from fillip.figures import Figure, at_most, note
from fillip.stream.kafka import KafkaProducer
from fillip_demo.book import PROBE, PROBE_ACTION
from fillip_demo.sample import Event
from fillip_demo.tally import percentile

USERS = 50
PER_S = 500
FOR_S, SETTLING_S = 20, 5
ARRIVE_WITHIN_S = 15
P50_MS, P99_MS = 15, 60
HALF_MS_US = 500
STEPS = (
    "producing (to the broker)",
    "taking (worker fetches)",
    "deciding (ingest to settle)",
    "committing",
    "publishing (from the WAL)",
    "delivering (to the gateway)",
    "pushing (to the client)",
)


class Journey(Struct, frozen=True):
    """When one event passed each step, microseconds since 1970: eight stamps, STEPS lie between them."""

    stamps: tuple[int, ...]

    @property
    def whole_ms(self) -> float:
        """Event produced to frame received."""
        return (self.stamps[-1] - self.stamps[0]) / 1000


class Recorder:
    """Puts what was sent and what came together."""

    def __init__(self) -> None:
        self.sent_us: dict[str, int] = {}
        self.journeys: list[Journey] = []

    def watch(self, incentive: Incentive, trace: Trace | None, now_us: int) -> None:
        """Told by the phones. A frame without trace came by replay: its steps are unknown."""
        sent_us = self.sent_us.get(incentive.event_id)
        if sent_us is None or trace is None:
            return
        appended = trace.received_at_us + HALF_MS_US  # the broker's stamps are whole milliseconds
        between = (trace.taken_at_us, trace.granted_at_us, trace.committed_at_us, trace.published_at_us)
        self.journeys.append(Journey((sent_us, appended, *between, trace.pushed_at_us, now_us)))


async def measure_latency(producer: KafkaProducer, topic: str, api: str, key: str) -> list[Figure]:
    """Send 500 taps a second for 20 s; p50, p99 and the share of each step, the first 5 s apart. Raises Crash."""
    recorder = Recorder()
    phones = [Phone(api, key, f"tapper-{number}", recorder.watch, trace=True) for number in range(USERS)]
    async with connected(phones):
        gc.collect()
        gc.freeze()  # a long collection here would be measured as latency there
        began_us = time.time_ns() // 1000
        await send_steadily(producer, topic, recorder)
        deadline = time.monotonic() + ARRIVE_WITHIN_S
        while (came := sum(len(phone.received) for phone in phones)) < len(recorder.sent_us):
            if time.monotonic() > deadline:
                raise Crash(f"of {len(recorder.sent_us):,} taps only {came:,} came back as frames")
            await asyncio.sleep(0.05)
    return report_latency(recorder.journeys, began_us)


async def send_steadily(producer: KafkaProducer, topic: str, recorder: Recorder) -> None:
    """One tap each 2 ms by the clock: a late one does not delay those after it."""
    began = time.monotonic()
    under_way: set[asyncio.Task[None]] = set()
    for number in range(PER_S * FOR_S):
        wait_s = began + number / PER_S - time.monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        tap = write_tap(f"tap-{number}", f"tapper-{number % USERS}", number)
        messages = list(encode_events(topic, [tap]))
        recorder.sent_us[str(tap["id"])] = time.time_ns() // 1000
        task = asyncio.create_task(producer.send_many(messages))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)


def write_tap(event_id: str, user_id: str, n: int) -> Event:
    """A tap now; it earns a point unless `n` is negative."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "demo",
        "type": PROBE_ACTION,
        "subject": user_id,
        "time": datetime.now(UTC).isoformat(),
        "tenantid": PROBE,
        "data": {"n": n},
    }


def report_latency(journeys: Sequence[Journey], began_us: int) -> list[Figure]:
    """p50 and p99 after the first seconds, those of the first seconds, and each step's part."""
    border_us = began_us + SETTLING_S * 1_000_000
    first = [journey.whole_ms for journey in journeys if journey.stamps[0] < border_us]
    steady = [journey for journey in journeys if journey.stamps[0] >= border_us]
    whole = [journey.whole_ms for journey in steady]
    name = f"event to frame at {PER_S}/s"
    return [
        at_most(f"{name}: p50", P50_MS, round(percentile(whole, 0.5), 2), "ms"),
        at_most(f"{name}: p99", P99_MS, round(percentile(whole, 0.99), 2), "ms"),
        note(f"{name}: worst", round(max(whole, default=0.0), 2), "ms"),
        note(f"{name}, first {SETTLING_S} s: p50", round(percentile(first, 0.5), 2), "ms"),
        note(f"{name}, first {SETTLING_S} s: p99", round(percentile(first, 0.99), 2), "ms"),
        *_report_steps(steady),
    ]


def _report_steps(journeys: Sequence[Journey]) -> Iterator[Figure]:
    total_us = sum(journey.stamps[-1] - journey.stamps[0] for journey in journeys) or 1
    spans_us = [[after - before for before, after in pairwise(journey.stamps)] for journey in journeys]
    for name, step_us in zip(STEPS, zip(*spans_us, strict=True), strict=False):
        middle, late = percentile(step_us, 0.5) / 1000, percentile(step_us, 0.99) / 1000
        share = round(100 * sum(step_us) / total_us, 1)
        yield note(f"share of {name}", share, f"% (p50 {middle:.1f} ms, p99 {late:.1f} ms)")
