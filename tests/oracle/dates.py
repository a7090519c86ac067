"""When rewards expire and points become available, in the reference model, as docs/guide/campaigns.md tells it."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from tests.oracle.claim import Document


def date_reward(reward: Document, occurred_at: datetime, tenant: Document, own_zone: str | None) -> Document:
    """A reward with what its dates come to for an event of this time: `ends` and `opens`, None where there is none.

    Nothing expires in a tenant with the clock `history`. `own_zone` is the user's, if any.
    """
    zones = {"tenant": tenant["time_zone"], "user": own_zone or tenant["time_zone"]}
    ends = _find(occurred_at, zones, reward.get("expires_after_s"), reward.get("expires"))
    opens = _find(occurred_at, zones, reward.get("pending_for_s"), reward.get("available"))
    return {**reward, "ends": None if tenant["clock"] == "history" else ends, "opens": opens}


def _find(at: datetime, zones: Document, span_s: int | None, period: Document | None) -> datetime | None:
    if period is not None:
        zone = ZoneInfo(zones[period.get("zone", "tenant")])
        return _end(at.astimezone(zone).date(), period["end_of"], period.get("after", 0), zone)
    return None if span_s is None else at + timedelta(seconds=span_s)


def _end(day: date, end_of: str, after: int, zone: ZoneInfo) -> datetime:
    """When the day behind the last one of a period begins, where clocks never skip midnight."""
    if end_of == "day":
        behind = day + timedelta(days=after + 1)
    elif end_of == "month":
        months = day.year * 12 + day.month + after  # since the first month of year 0, of the one behind
        behind = date(months // 12, months % 12 + 1, 1)
    else:
        behind = date(day.year + after + 1, 1, 1)
    return datetime.combine(behind, time(), zone).astimezone(UTC)
