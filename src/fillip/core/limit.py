"""Limits, their counters, and the arithmetic of who still fits under all of them."""

from collections.abc import Mapping, MutableMapping, Sequence
from datetime import date, datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.local_day import Zone
from fillip.core.rolling import Part, Parts, tell_end
from fillip.core.tenant import LIFETIME, Weekday

Scope = Literal["tenant", "campaign", "user", "user_in_campaign"]
Measure = Literal["count", "value"]
Span = Literal["day", "week", "month", "year", "rolling", "lifetime"]
Over = Literal["refuse", "partial"]
"""What becomes of a grant for which there is not room enough: it is refused, or gives what is left."""


class Limit(Struct, frozen=True):
    """A HARD cap: at most `cap` (grants, codes of `pool`, or minor units / points of `reward_kind`) a window, a subject and a key.

    `currency` is set where points or cashback are counted by value: amounts of different currencies are never added up.
    A user scope has a counter per user; `key` splits further, by an expression of the event. `campaign_id` is set
    for the campaign scopes; `action`, where set, restricts the limit to events of that action. `week_starts_on` is of
    weeks: None is Monday. `rolling_s` is how long a rolling window is. `over` is
    `partial` by value only. `zone` says whose days make a window; `user` goes with user scopes.
    """

    limit_id: str
    scope: Scope
    measure: Measure
    span: Span
    cap: int
    campaign_id: str | None = None
    reward_kind: str | None = None
    currency: str | None = None
    action: str | None = None
    key: str | None = None
    key_checked: bytes | None = None
    week_starts_on: Weekday | None = None
    rolling_s: int | None = None
    pool: str | None = None
    over: Over = "refuse"
    zone: Zone = "tenant"

    @property
    def per_user(self) -> bool:
        """Whether each user has a counter of their own (locked before the shared ones)."""
        return self.scope in ("user", "user_in_campaign")

    def adds_up(self, kind: str, currency: str | None) -> bool:
        """Whether the values of such rewards are what it counts; without a `currency` of its own those of each one are."""
        return kind == self.reward_kind and self.currency in (None, currency)


class CounterKey(Struct, frozen=True, order=True):
    """Names one counter. `user_id` is '' when shared by all users, `key` '' when not split. Sorted = lock order."""

    tenant_id: str
    limit_id: str
    user_id: str
    key: str
    window_start: date


class Frame(Struct, frozen=True, order=True):
    """Of a counter by rolling windows the parts from a first to a last number."""

    counter: CounterKey
    first: int
    last: int


class Counter(Struct):
    """Use of one limit in one window: `used` so far, `version` = changes so far (grants and returns).

    Of one by rolling windows `used` is all that ever was, and `parts` when.
    """

    used: int
    version: int
    parts: Parts | None = None


class LimitCharge(Struct, frozen=True):
    """What a grant would take from one counter; `cap` is the limit's cap in force, `resets_at` when the window is over.

    `part` is where it counts in rolling windows. `counted` are the indexes of the rewards whose values are `amount`; None where it is
    the grant that counts. `over` is the limit's. `wanted` is what was asked where `amount` is what was left.
    `time_zone` is the user's own where the window goes by that.
    """

    counter: CounterKey
    amount: int
    cap: int
    resets_at: datetime | None = None
    part: Part | None = None
    counted: tuple[int, ...] | None = None
    over: Over = "refuse"
    wanted: int | None = None
    time_zone: str | None = None

    @property
    def frames(self) -> list[Frame]:
        """What has to be known of a counter by rolling windows; nothing of others."""
        return [Frame(self.counter, *each) for each in self.part.frames] if self.part else []


class CounterUse(Struct, frozen=True):
    """The proof of one limit's part in a decision: use and version of the counter before it.

    `resets_at` is when its window is over; None for lifetime, and where that was not recorded yet. In rolling windows
    `used_before` is the most in one that holds the event, `part` the number of its part, and `resets_at` is when the first of that
    counts no more; None where nothing is used. `wanted` is set where `amount` is less: the limit gave what was left.
    `time_zone` is the user's own where the window went by that.
    """

    limit_id: str
    key: str
    window_start: date
    version: int
    used_before: int
    amount: int
    cap: int
    resets_at: datetime | None = None
    part: int | None = None
    wanted: int | None = None
    time_zone: str | None = None

    @property
    def fits(self) -> bool:
        """Whether the whole amount still fits under the cap."""
        return self.used_before + self.amount <= self.cap


_EVER = LIFETIME.isoformat()


def has_start(window_start: str, part: int | None, resets_at: object) -> bool:
    """Whether the window of a stored use begins on its `window_start`: rolling windows and lifetime have a day in its place that says nothing.

    A year, month or day may begin on that day too, in a tenant whose clock is `history`; it ends, and has no parts.
    """
    return window_start != _EVER or (part is None and resets_at is not None)


def weigh(
    charges: Sequence[LimitCharge], counters: Mapping[CounterKey, Counter]
) -> tuple[list[CounterUse], CounterUse | None]:
    """Look at every counter that a grant would take from: all uses, and the first that does not fit (None when all fit)."""
    uses = [_use(charge, counters[charge.counter]) for charge in charges]
    return uses, next((use for use in uses if not use.fits), None)


def cut(
    charges: Sequence[LimitCharge], values: Sequence[int], counters: Mapping[CounterKey, Counter]
) -> tuple[Sequence[LimitCharge], Sequence[int]]:
    """Charges and values of a grant as far as the limits that are `partial` have room for them: the least room counts.

    The last rewards give up first, and none all of its value: where there is not even 1 for each, it is left for `weigh` to refuse.
    """
    if all(charge.over == "refuse" for charge in charges):
        return charges, values
    left = list(values)
    for charge in charges:
        if charge.over == "partial" and charge.counted:
            room = charge.cap - _use(charge, counters[charge.counter]).used_before
            missing = sum(left[index] for index in charge.counted) - room
            if missing > sum(max(left[index] - 1, 0) for index in charge.counted):
                return charges, values
            for index in reversed(charge.counted):
                lost = min(max(missing, 0), max(left[index] - 1, 0))
                left[index] -= lost
                missing -= lost
    return (charges, values) if left == list(values) else ([_recount(charge, left) for charge in charges], left)


def _recount(charge: LimitCharge, values: Sequence[int]) -> LimitCharge:
    amount = charge.amount if charge.counted is None else sum(values[index] for index in charge.counted)
    return charge if amount == charge.amount else replace(charge, amount=amount, wanted=charge.amount)


def take(charges: Sequence[LimitCharge], counters: MutableMapping[CounterKey, Counter]) -> None:
    """Charge the counters of a grant. Call only when `weigh` found that all fit: no half grants."""
    for charge in charges:
        _move(charge.counter, charge.amount, charge.part.number if charge.part else None, counters)


def put_back(
    counter: CounterKey, amount: int, part: int | None, counters: MutableMapping[CounterKey, Counter]
) -> Counter:
    """Give a counter back what was taken of it, in rolling windows of one part; as it was before."""
    before = counters[counter]
    _move(counter, -amount, part, counters)
    return before


def _move(key: CounterKey, amount: int, part: int | None, counters: MutableMapping[CounterKey, Counter]) -> None:
    before = counters[key]
    parts = before.parts
    if part is not None:
        parts = parts or Parts()
        parts.add(part, amount)
    counters[key] = Counter(before.used + amount, before.version + 1, parts)


def _use(charge: LimitCharge, before: Counter) -> CounterUse:
    key, part = charge.counter, charge.part
    used, resets_at = before.used, charge.resets_at
    if part:
        used, oldest = before.parts.weigh(part) if before.parts else (0, None)
        resets_at = None if oldest is None else tell_end(part, oldest)
    return CounterUse(
        limit_id=key.limit_id,
        key=key.key,
        window_start=key.window_start,
        version=before.version,
        used_before=used,
        amount=charge.amount,
        cap=charge.cap,
        resets_at=resets_at,
        part=part.number if part else None,
        wanted=charge.wanted,
        time_zone=charge.time_zone,
    )
