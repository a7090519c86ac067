"""What campaigns decided hour by hour, added up from the WAL upon what the ledger held at a snapshot. Pure.

Each transaction counts once: the snapshot says which ones it has seen, whatever the WAL tells again after a restart.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.live import HOURS, HourSums
from fillip.publish.pgoutput import Relation, Row, Value

MOST_CELLS = 100_000
"""(campaign, hour) of all tenants, about 30 MB; beyond, the tenant with most loses its oldest hours."""
MOST_WAITING = 200_000
"""Changes that wait for the snapshot."""

_HOUR = re.compile(rb"\d{4}-\d\d-\d\d \d\d:")
_HOUR_BYTES = 14
_MASK, _HALF = 2**32 - 1, 2**31


class HourChange(Struct, frozen=True):
    """What rows of one transaction add: decisions, or the value of incentives, or what reversals took of such.

    `hour` is that of the decision (UTC), as "2026-01-31 09".
    """

    tx_id: int
    tenant_id: str
    campaign_id: str
    hour: str
    granted: int = 0
    denied: int = 0
    kind: str = ""
    value: int = 0
    reversed: int = 0


Rows: TypeAlias = dict[tuple[object, ...], int]
"""Rows of the WAL that add to the same, as they came: their transaction, tenant, campaign and hour, and the outcome, or kind,
currency and table; how many they are, or their values. So only what they add to is read of each row, and the rest of few.
"""

_COLUMNS = {
    "decision": ("tenant_id", "campaign_id", "decided_at", "outcome"),
    "incentive": ("tenant_id", "campaign_id", "granted_at", "kind", "currency", "value"),
    "incentive_change": ("tenant_id", "campaign_id", "granted_at", "kind", "currency", "changed_value", "change"),
}


class RowCounter:
    """Counts the rows that add to live hours."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Relation, Callable[[Sequence[Value]], tuple[Any, ...]]]] = {}

    def count(self, row: Row, tx_id: int, rows: Rows) -> None:
        """Count a row where it adds to anything."""
        table = row.relation.name
        if row.op != "c" or table not in _COLUMNS:
            return
        known = self._known.get(table)
        if known is None or known[0] is not row.relation:
            names = [column.name for column in row.relation.columns]
            known = self._known[table] = row.relation, itemgetter(*map(names.index, _COLUMNS[table]))
        tenant_id, campaign_id, at, what, *parts = known[1](row.values)
        if not parts:
            key: tuple[object, ...] = (tx_id, tenant_id, campaign_id, at[:_HOUR_BYTES], what)
            rows[key] = rows.get(key, 0) + 1
        elif parts[2:] in ([], [b"reversed"]):  # what has expired was granted, and is spent all the same
            key = (tx_id, tenant_id, campaign_id, at[:_HOUR_BYTES], what, parts[0], table)
            rows[key] = rows.get(key, 0) + int(parts[1])


def list_counted(rows: Mapping[tuple[Any, ...], int]) -> Iterator[HourChange]:
    """What counted rows add; nothing of one that stands in no hour, such as one of the instant `infinity`."""
    for (tx_id, tenant_id, campaign_id, at, what, *parts), count in rows.items():
        if not _HOUR.fullmatch(at):
            continue
        named = {"tx_id": tx_id, "tenant_id": tenant_id.decode(), "campaign_id": campaign_id.decode()}
        named["hour"] = at[:-1].decode()
        if parts:
            currency = (parts[0] or b"").decode()
            change = HourChange(**named, kind=f"{what.decode()}:{currency}")
            yield replace(change, value=count) if parts[1] == "incentive" else replace(change, reversed=count)
        else:
            granted = count if what == b"granted" else 0
            yield HourChange(**named, granted=granted, denied=count - granted)


class Visibility(Struct, frozen=True):
    """Which transactions a snapshot has seen, by ids of 32 bits that go round."""

    first_open: int
    next_id: int
    open: frozenset[int]

    def has(self, tx_id: int) -> bool:
        """Whether what this transaction wrote is in the snapshot."""
        if _precedes(tx_id, self.first_open):
            return True
        return _precedes(tx_id, self.next_id) and tx_id not in self.open

    def is_past(self, tx_id: int) -> bool:
        """Whether all transactions that began before this one are over."""
        return not _precedes(self.first_open, tx_id)


def read_visibility(text: str) -> Visibility:
    """From what pg_current_snapshot() says: "xmin:xmax:xip,xip"."""
    first_open, next_id, running = text.split(":")
    return Visibility(
        int(first_open) & _MASK, int(next_id) & _MASK, frozenset(int(i) & _MASK for i in running.split(",") if i)
    )


def _precedes(one: int, other: int) -> bool:
    return one != other and (other - one) & _MASK < _HALF


class HourCounts:
    """The sums by tenant, campaign and hour, from the WAL and from what was stored when the snapshot was taken."""

    def __init__(self) -> None:
        self.sums: dict[str, dict[str, dict[str, HourSums]]] = {}
        self.since: dict[str, str] = {}
        """The first hour that is kept whole of a tenant which has lost some for their number."""
        self.moved: dict[str, dict[str, set[str]]] = {}
        """What has changed since it was asked for last: hours by tenant and campaign."""
        self.overflowed = False
        self._visibility: Visibility | None = None
        self._waiting: list[HourChange] = []
        self.first, self._last, self._cells = "", "", 0

    def note(self, changes: Iterable[HourChange]) -> None:
        """Take changes of the WAL, each once."""
        if self._visibility is None:
            self._waiting += changes
            self.overflowed = self.overflowed or len(self._waiting) > MOST_WAITING
            if self.overflowed:
                self._waiting.clear()
            return
        for change in changes:
            if not self._visibility.has(change.tx_id):
                self._add(change)

    def begin(self, visibility: Visibility) -> None:
        """What was stored comes from this snapshot: of the WAL, only what it has not seen counts."""
        self._visibility, waiting = visibility, self._waiting
        self._waiting = []
        self.note(waiting)

    def load(self, stored: Iterable[HourChange]) -> None:
        """Take what the snapshot has, each row for many."""
        for change in stored:
            self._add(change)

    def keep(self, first_hour: str) -> None:
        """Take what is of this hour and the two days after it from now on, and nothing else."""
        self.first, self._last = first_hour, list_hours(first_hour, 2 * HOURS)[-1]

    def forget(self, tenant_id: str) -> None:
        """Drop what is of the hours before."""
        self._forget_of(tenant_id, self.first)

    def take_moved(self) -> dict[str, dict[str, set[str]]]:
        """What has changed since the last time."""
        moved, self.moved = self.moved, {}
        return moved

    def touch(self, tenant_id: str, campaign_id: str) -> None:
        """Let a campaign count as moved."""
        self.moved.setdefault(tenant_id, {}).setdefault(campaign_id, set())

    def _add(self, change: HourChange) -> None:
        tenant_id, campaign_id, hour = change.tenant_id, change.campaign_id, change.hour
        if not max(self.first, self.since.get(tenant_id, "")) <= hour <= self._last:
            return
        hours = self.sums.setdefault(tenant_id, {}).setdefault(campaign_id, {})
        sums = hours.get(hour)
        if sums is None:
            sums = hours[hour] = HourSums(spend={}, reversed={})
            self._cells += 1
        sums.granted += change.granted
        sums.denied += change.denied
        if change.kind:
            sums.spend[change.kind] = sums.spend.get(change.kind, 0) + change.value
        if change.reversed:
            sums.reversed[change.kind] = sums.reversed.get(change.kind, 0) + change.reversed
        self.moved.setdefault(tenant_id, {}).setdefault(campaign_id, set()).add(hour)
        if self._cells > MOST_CELLS:
            self._make_room()

    def _make_room(self) -> None:
        crowd = max(self.sums, key=lambda tenant_id: sum(map(len, self.sums[tenant_id].values())))
        oldest = min(hour for hours in self.sums[crowd].values() for hour in hours)
        self.since[crowd] = list_hours(oldest, 2)[1]
        self._forget_of(crowd, self.since[crowd])

    def _forget_of(self, tenant_id: str, first_hour: str) -> None:
        campaigns = self.sums[tenant_id]
        for campaign_id, hours in list(campaigns.items()):
            for hour in [hour for hour in hours if hour < first_hour]:
                del hours[hour]
                self._cells -= 1
            if not hours:
                del campaigns[campaign_id]
        if not campaigns:
            del self.sums[tenant_id]


def list_hours(first: str, count: int) -> list[str]:
    """So many hours from one on."""
    start = read_hour(first)
    return [f"{start + timedelta(hours=n):%Y-%m-%d %H}" for n in range(count)]


def read_hour(hour: str) -> datetime:
    """When an hour starts."""
    return datetime.fromisoformat(f"{hour}:00+00:00")


def name_hour_before(hour: str) -> str:
    """The one before."""
    return f"{read_hour(hour) - timedelta(hours=1):%Y-%m-%d %H}"


def name_first_hour(now: datetime) -> str:
    """The first hour that is kept at an instant (UTC)."""
    return f"{now - timedelta(hours=HOURS):%Y-%m-%d %H}"


def list_changes(rows: Iterable[Mapping[str, object]]) -> Iterator[HourChange]:
    """The rows of read_hours.sql as changes."""
    for row in rows:
        yield HourChange(tx_id=0, **row)  # type: ignore[arg-type]
