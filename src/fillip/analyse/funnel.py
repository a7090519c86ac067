"""How far users come in a quest: how many begin, reach each step and finish, and how long that takes."""

from datetime import datetime

from msgspec import Struct


class FunnelQuestion(Struct, frozen=True):
    """Of one tenant and campaign, instances that began at `begin` or later and before `end`, as they stand at `now`; up to
    `count` versions after version `after`.
    """

    tenant_id: str
    campaign_id: str
    begin: datetime
    end: datetime
    now: datetime
    count: int
    after: int


class StepReached(Struct, frozen=True):
    """How many instances have met a step. Of `timed` of them it is known how long after the step that they met before it,
    or after the start where it is their first: in seconds, by the events' own times, half and 90 % at most so long.
    """

    name: str
    reached: int
    timed: int
    median_s: float | None
    p90_s: float | None


class QuestFunnel(Struct, frozen=True):
    """The instances that stand under one version of a quest: `started` in all, by `users`, each in one state now.

    `open` may still be finished. `lapsed` are those whose window is past, whether or not an event has found them so.
    """

    campaign_version: int
    started: int
    users: int
    open: int
    completed: int
    denied: int
    lapsed: int
    closed: int
    reversed: int
    steps: list[StepReached]


def tell_step(name: str, reached: int, timed: int, median_s: float | None, p90_s: float | None) -> StepReached:
    """How long it took, to the microsecond; null where of none it is known."""
    took = [round(seconds, 6) if timed and seconds is not None else None for seconds in (median_s, p90_s)]
    return StepReached(name, reached, timed, *took)
