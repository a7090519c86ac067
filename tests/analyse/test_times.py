"""From event to grant to delivery to claim, in both stores: in whatever order the parts of a way are told."""

from datetime import date
from itertools import permutations
from typing import Any

from msgspec.structs import replace

from fillip.analyse.facts import sift
from fillip.analyse.report import Bay, Question
from fillip.analyse.times import Times
from fillip.core.identity import identify
from fillip.stream.topics import Topics
from tests.analyse.bay_world import EVERYTHING, announce, emptied, incentive, record

TOPICS = Topics()
NONE = Times(0, None, None, None)
WAY = {"occurred_at": "2026-03-01T09:59:51.000000Z", "received_at": "2026-03-01T10:00:00.500000Z"}


def grant(number: int, **columns: Any) -> tuple[str, dict[str, Any]]:
    """Happened at 9:59:51, received at 10:00:00.5, decided at 10:00:01, committed 10 ms later."""
    message = incentive(number, **WAY, **columns)
    message["source"]["committed_at_us"] = 1_772_359_201_010_000
    return TOPICS.generated, message


def ack(number: int, at: str, **columns: Any) -> tuple[str, dict[str, Any]]:
    """The client of the user has it at this time of the day."""
    after = {"tenant_id": "acme", "user_id": "u", "seq": 1, "kind": "granted", "acked_at": f"2026-03-01T{at}Z"}
    after |= {"campaign_id": "welcome", "granted_at": "2026-03-01T10:00:01.000000Z"}
    after["incentive_id"] = str(identify("incentive", str(number)))
    return TOPICS.acked, announce("inbox", number, "u", "e1", after | columns)


def claim(number: int, at: str, lsn: int, **columns: Any) -> tuple[str, dict[str, Any]]:
    """It is redeemed at this time of the day; or changes in another way afterwards."""
    told = incentive(number, **WAY, **{"state": "claimed", "claimed_at": f"2026-03-01T{at}Z"} | columns)
    return TOPICS.incentives, announce("incentive", lsn, "u", "e1", told["after"])


async def load(bay: Bay, *messages: tuple[str, dict[str, Any]], first: int = 0) -> int:
    """Load announcements, each by itself; how many could not be."""
    asides = 0
    for offset, (topic, message) in enumerate(messages, first):
        message["source"]["commit_lsn"] = offset
        sifted = sift([record(offset, message, topic)], await bay.read_positions())
        await bay.load(sifted)
        asides += len(sifted.asides)
    return asides


async def test_each_part_of_the_way_in_any_order_of_the_topics(store: Bay) -> None:
    told = [grant(1), ack(1, "10:00:03.000000"), claim(1, "10:01:03.000000", 5)]
    for number, order in enumerate(permutations(told), 1):
        await load(store, *((topic, rename(message, number)) for topic, message in order), first=number * 10)
    lines = await store.report_campaign_times(EVERYTHING)
    assert [(line.day, line.campaign_id) for line in lines] == [(date(2026, 3, 1), f"c{n}") for n in range(1, 7)]
    for line in lines:
        assert (line.granted, line.happened_to_received, line.received_to_granted) == (1, took(9.5), took(0.5))
        assert (line.granted_to_committed, line.granted_to_delivered) == (took(0.01), took(2.0))
        assert (line.granted_to_claimed, line.delivered_to_claimed) == (took(62.0), took(60.0))


def rename(message: dict[str, Any], number: int) -> dict[str, Any]:
    """The same of another incentive and campaign."""
    incentive_id = str(identify("incentive", str(number)))
    return message | {
        "after": message["after"] | {"incentive_id": incentive_id, "campaign_id": f"c{number}"},
        "source": dict(message["source"]),
    }


def took(seconds: float) -> Times:
    """Of one incentive."""
    return Times(1, seconds, seconds, seconds)


async def test_quantiles_are_of_those_that_came_so_far_and_a_claim_counts_once(store: Bay) -> None:
    acks = [ack(n, f"10:00:{n:02}.000000") for n in range(1, 12)]
    await load(store, *(grant(n) for n in range(1, 21)), *acks, ack(15, "10:00:50.000000", kind="reversed"))
    claims = [claim(12, "10:00:21.000000", 5), claim(12, "10:00:21.000000", 6, state="reversed")]
    await load(store, *claims, claim(3, "10:00:02.000000", 7), first=100)
    (line,) = await store.report_campaign_times(EVERYTHING)
    assert (line.granted, line.granted_to_delivered) == (20, Times(11, 5.0, 9.0, 9.9))
    assert line.granted_to_claimed == Times(2, 10.5, 18.1, 19.81)
    assert line.delivered_to_claimed == NONE  # one was not delivered, the other claimed before it was


async def test_what_was_acked_and_claimed_before_that_said_of_what_it_is_counts_too(store: Bay) -> None:
    unsaid: dict[str, Any] = {"campaign_id": None, "granted_at": None}
    told = [ack(n, f"10:00:0{n}.000000", **unsaid) for n in (2, 3)]
    await load(store, *map(grant, range(1, 6)), *told, ack(5, "10:00:05.000000"))
    await load(store, claim(3, "10:00:08.000000", 9, **unsaid), claim(4, "10:00:09.000000", 10), first=100)
    for asked in (EVERYTHING, replace(EVERYTHING, campaign_id="welcome")):
        (line,) = await store.report_campaign_times(asked)
        assert (line.granted_to_delivered.count, line.granted_to_delivered.p50_s) == (3, 2.0)
        assert (line.granted_to_claimed.count, line.delivered_to_claimed) == (2, took(5.0))
    assert await store.report_campaign_times(replace(EVERYTHING, campaign_id="other")) == []
    await load(store, ack(2, "10:00:02.000000"), first=200)  # told again, as it now stands
    (line,) = await store.report_campaign_times(EVERYTHING)
    assert line.granted_to_delivered.count == 3


async def test_days_campaigns_tenants_and_pages(store: Bay) -> None:
    others = [grant(n, granted_at=f"2026-03-0{n}T23:59:59.000000Z", campaign_id=f"c{n % 2}") for n in (2, 3, 4)]
    await load(store, grant(1), *others, grant(5, tenant_id="rival"), ack(1, "10:00:03.000000", tenant_id="rival"))
    assert await places(store, EVERYTHING) == [(1, "welcome"), (2, "c0"), (3, "c1"), (4, "c0")]
    assert await places(store, replace(EVERYTHING, count=2)) == [(1, "welcome"), (2, "c0")]
    assert await places(store, replace(EVERYTHING, after=(date(2026, 3, 2), "c0"))) == [(3, "c1"), (4, "c0")]
    days = replace(EVERYTHING, first=date(2026, 3, 2), last=date(2026, 3, 3))
    assert await places(store, days) == [(2, "c0"), (3, "c1")]
    assert await places(store, replace(EVERYTHING, campaign_id="c0")) == [(2, "c0"), (4, "c0")]
    assert (await store.report_campaign_times(EVERYTHING))[0].granted_to_delivered == NONE


async def places(bay: Bay, question: Question) -> list[tuple[int, str]]:
    """Day of the month and campaign of the lines."""
    return [(line.day.day, line.campaign_id) for line in await bay.report_campaign_times(question)]


async def test_a_snapshot_brings_claims_with_it_and_replaces_what_was_granted_and_delivered(
    store: Bay,
) -> None:
    await load(store, grant(1), grant(2), ack(1, "10:00:03.000000"), ack(2, "10:00:03.000000"))
    anew = [grant(1, claimed_at="2026-03-01T10:00:02.000000Z"), ack(1, "10:00:05.000000")]
    for _, message in anew:
        message["op"], message["source"]["epoch"] = "r", "e2"
    gone = (TOPICS.generated, emptied("incentive", 1, "e2")), (TOPICS.acked, emptied("inbox", 1, "e2"))
    await load(store, *gone, *anew, first=10)
    (line,) = await store.report_campaign_times(EVERYTHING)
    assert (line.granted, line.granted_to_delivered, line.granted_to_claimed) == (1, took(4.0), took(1.0))
    assert line.granted_to_committed == NONE


async def test_what_can_not_be_read_is_set_aside(store: Bay) -> None:
    spoilt = [grant(1), ack(1, "25:00:00.000000"), claim(1, "ten", 9)]
    spoilt[0][1]["after"]["granted_at"] = None
    assert await load(store, *spoilt, grant(2)) == 3
    assert (await store.report_campaign_times(EVERYTHING))[0].granted == 1
