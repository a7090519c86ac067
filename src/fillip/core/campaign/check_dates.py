"""Whether a reward becomes available and expires in one way each, and lasts for some event of its campaign."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from fillip.core.campaign.campaign import Schedule
from fillip.core.campaign.period_end import MOST_AFTER, PeriodEnd
from fillip.core.campaign.reward import Reward
from fillip.core.campaign.vocabulary import Vocabulary
from fillip.core.instant import MIN_TIME
from fillip.core.problem import Fault

_EXPIRIES = ("expires_after_s", "expires_at", "expires")
_AVAILABLE = ("pending_for_s", "available_at", "available")
_LOOKED_AT_MONTHS = 48
"""All lengths of months and years."""
_ONE_DAY = datetime(9000, 1, 1, tzinfo=UTC)
"""The end of a campaign that has none."""
_TICK = timedelta(microseconds=1)


def check_dates(reward: Reward, at: str, schedule: Schedule, vocabulary: Vocabulary) -> Iterator[Fault]:
    """What is wrong with the dates of the reward at a JSON pointer, in a campaign of this schedule."""
    faults = [*_check_ways(reward, at), *_check_distance(reward, at), *_check_zones(reward, at)]
    yield from faults or _check_lasting(reward, at, schedule, vocabulary)


def _check_ways(reward: Reward, at: str) -> Iterator[Fault]:
    for names, verb in ((_EXPIRIES, "expires"), (_AVAILABLE, "becomes available")):
        first, *others = [name for name in names if getattr(reward, name) is not None] or [""]
        for name in others:
            yield Fault(f"{at}/{name}", f"a reward {verb} in one way: this has {first} already")


def _check_distance(reward: Reward, at: str) -> Iterator[Fault]:
    for name, end in (("expires", reward.expires), ("available", reward.available)):
        if end and end.after > MOST_AFTER[end.end_of]:
            yield Fault(f"{at}/{name}/after", f"at most {MOST_AFTER[end.end_of]:,} {end.end_of}s: ten years")


def _check_zones(reward: Reward, at: str) -> Iterator[Fault]:
    if reward.expires and reward.available and reward.expires.zone != reward.available.zone:
        message = f"the reward expires by the days of the {reward.expires.zone}: become available by the same, or for some users it never is"
        yield Fault(f"{at}/available/zone", message)


def _check_lasting(reward: Reward, at: str, schedule: Schedule, vocabulary: Vocabulary) -> Iterator[Fault]:
    expires_by = next((name for name in _EXPIRIES if getattr(reward, name) is not None), None)
    begin = schedule.starts_at or vocabulary.now or MIN_TIME
    if reward.available_at and reward.available_at <= begin:
        yield Fault(
            f"{at}/available_at", "it lies before the campaign begins, so nothing would ever be pending: leave it out"
        )
    if expires_by is None:
        return
    if reward.expires_at and reward.expires_at <= begin:
        yield Fault(f"{at}/{expires_by}", "it would have expired before the campaign begins")
    elif not any(_lasts(reward, each, vocabulary.time_zone) for each in _list_instants(begin, schedule, vocabulary)):
        yield Fault(f"{at}/{expires_by}", "the points would expire before they can be spent, whenever they are earned")


def _lasts(reward: Reward, occurred_at: datetime, time_zone: str) -> bool:
    expiry, available = (find(occurred_at, time_zone, None) for find in (reward.find_expiry, reward.find_available))
    return expiry is None or available is None or expiry > available


def _list_instants(begin: datetime, schedule: Schedule, vocabulary: Vocabulary) -> Iterator[datetime]:
    """When events may occur that gain most: first and last, and at the beginning and the end of each month of four years."""
    end = schedule.ends_at or _ONE_DAY
    yield from (begin, end)
    for after in range(_LOOKED_AT_MONTHS):
        turn = PeriodEnd("month", after).find(begin, vocabulary.time_zone, None)
        yield from (each for each in (turn - _TICK, turn) if each <= end)
