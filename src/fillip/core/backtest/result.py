"""What a backtest tells."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Literal

from msgspec import Struct

from fillip.core.ledger.decision import DecisionReason, Outcome

NotConsidered = Literal[
    "shortfalls",
    "former_definitions",
    "former_users",
    "codes_left",
    "badges_held",
    "archived_campaigns",
]
"""What a backtest passes over: see docs/guide/backtest.md."""


class Spend(Struct, frozen=True):
    """Rewards of one kind and currency: how many, and their value in all, in minor units or points, of which so much was
    `reversed` since.
    """

    kind: str
    currency: str | None
    rewards: int
    value: int
    reversed: int


class Day(Struct, frozen=True):
    """A day of the tenant's calendar. `reversed`: how many of its grants were taken back since, in part or in full."""

    day: date
    granted: int
    reversed: int
    denied: int
    spend: Sequence[Spend]


class LimitBite(Struct, frozen=True):
    """A limit that had no room: how many grants it denied, to how many users, and the first of them by the events' time."""

    limit_id: str
    denied: int
    users: int
    first_at: datetime
    first_event_id: str


class OthersGrants(Struct, frozen=True):
    """Another campaign: for how many of the grants it was granted too, how many it stood in the way of, and how many of its
    grants this one would have taken the place of.
    """

    campaign_id: str
    events: int
    outranked: int
    displaced: int


class CohortCoverage(Struct, frozen=True):
    """A cohort that the campaign is for: its members now, and how many of them met it and were granted something."""

    cohort_id: str
    version: int
    members: int
    met: int
    granted: int


class Worth(Struct, frozen=True):
    """What one reward of a grant came to, in minor units or points."""

    kind: str
    currency: str | None
    value: int


class Said(Struct, frozen=True):
    """A decision, live or of the backtest: the `rewards` of a grant; of a denial the first limit that had no room."""

    outcome: Outcome
    reason: DecisionReason
    instance: str
    rewards: Sequence[Worth]
    limit_id: str | None


class Difference(Struct, frozen=True):
    """An event for which one of the two granted, or both other values. None: it decided nothing on it."""

    event_source: str
    event_id: str
    user_id: str
    occurred_at: datetime
    live: Said | None
    backtest: Said | None


class Differences(Struct, frozen=True):
    """Grants that live gave and the backtest does not, the other way round, and those of another value; some of them."""

    only_live: int
    only_backtest: int
    other_value: int
    samples: Sequence[Difference]


class Result(Struct, frozen=True):
    """See docs/guide/backtest.md. `events` were read, of the campaign's actions; `unreadable` of them the schemas of now refuse,
    `undecidable` broke down. `reversed` of the grants were taken back, in part or in full. `granted_alone` are the grants for whose event no other campaign was granted. `differences` from what
    the campaign granted in fact; None where it decided nothing in that time.
    """

    events_met: int
    users_met: int
    granted: int
    reversed: int
    granted_users: int
    spend: Sequence[Spend]
    codes: int
    denied: Mapping[DecisionReason, int]
    days: Sequence[Day]
    limits: Sequence[LimitBite]
    granted_alone: int
    overlap: Sequence[OthersGrants]
    cohorts: Sequence[CohortCoverage] = ()
    events: int = 0
    unreadable: int = 0
    undecidable: int = 0
    not_met: Mapping[str, int] = {}
    seconds: float = 0.0
    read_to: datetime | None = None
    book_version: int = 0
    not_considered: Sequence[NotConsidered] = ()
    differences: Differences | None = None
