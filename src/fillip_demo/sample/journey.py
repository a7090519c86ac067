"""completejourney as a stream of CloudEvents: baskets, enrolments and redemptions in event time."""

import heapq
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

from fillip_demo.sample.campaigns import TENANT
from fillip_demo.sample.tables import rows

SOURCE = "completejourney"

Event = dict[str, Any]

EPOCH = datetime(2017, 1, 1, tzinfo=UTC)


def events() -> Iterator[Event]:
    """Yield the 164,539 events by time; at one instant ENROLLED, PURCHASE, REDEEM, each in file order.

    Each is a CloudEvents 1.0 structure: id, source, type (the action), subject (the user), time (RFC 3339,
    UTC), tenantid, data (the attributes). Ids are cj-e0, cj-p0, cj-r0: kind and row number in its file.
    """
    return heapq.merge(_enrolments(), _purchases(), _redemptions(), key=itemgetter("time"))


def pairs() -> Iterator[Event]:
    """Yield 54,652 REDEEM events: each redemption claimed for each of the 26 campaigns it was not made in.

    In file order; ids are cj-x{redemption row}-{campaign}. All but 26 are inadmissible: none happened.
    """
    campaigns = [row[0] for row in rows("campaigns")]
    for index, (household, coupon, actual, day) in enumerate(rows("redemptions")):
        for campaign in campaigns:
            if campaign != actual:
                yield _redeem(f"cj-x{index}-{campaign}", household, coupon, campaign, day)


def _enrolments() -> Iterator[Event]:
    described = {row[0]: (row[1], row[2]) for row in rows("campaigns")}
    dated = [(described[c][1], index, c, household) for index, (c, household) in enumerate(rows("enrolments"))]
    for start, index, campaign, household in sorted(dated):
        data = {"campaign": campaign, "type": described[campaign][0]}
        yield _event(f"cj-e{index}", "ENROLLED", household, f"{start}T00:00:00Z", data)


def _purchases() -> Iterator[Event]:
    for index, (second, household, store, basket, lines, sales, discount) in enumerate(rows("baskets")):
        time = (EPOCH + timedelta(seconds=int(second))).strftime("%Y-%m-%dT%H:%M:%SZ")
        data = {
            "basket": basket,
            "store": store,
            "amount_cents": int(sales),
            "lines": int(lines),
            "coupon_discount_cents": int(discount),
        }
        yield _event(f"cj-p{index}", "PURCHASE", household, time, data)


def _redemptions() -> Iterator[Event]:
    for index, (household, coupon, campaign, day) in enumerate(rows("redemptions")):
        yield _redeem(f"cj-r{index}", household, coupon, campaign, day)


def _redeem(id_: str, household: str, coupon: str, campaign: str, day: str) -> Event:
    """A redemption's time of day is unknown: it is set to the day's last second, after all purchases."""
    return _event(id_, "REDEEM", household, f"{day}T23:59:59Z", {"coupon": coupon, "campaign": campaign})


def _event(id_: str, action: str, household: str, time: str, data: Mapping[str, object]) -> Event:
    return {
        "specversion": "1.0",
        "id": id_,
        "source": SOURCE,
        "type": action,
        "subject": f"h{household}",
        "time": time,
        "tenantid": TENANT,
        "data": data,
    }
