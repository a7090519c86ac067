"""Which events count for which rules of cohorts, and how much: a stage of the belt."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeAlias
from uuid import UUID

from msgspec import Struct
from prometheus_client import Counter

from fillip.core.event import REVERSAL, Event, Rejection
from fillip.core.identity import identify_event
from fillip.core.ledger.reversal import read_reversal
from fillip.core.rule import Rule, RuleError
from fillip.core.tally import CohortRule, Term, make_term
from fillip.stream.belt import Record, take_portions

RUNS_AT_ONCE = 100
"""Rules of at most a thousand steps that are run before others get their turn: some milliseconds."""
FAILED = Counter(
    "fillip_cohort_rule_errors_total", "Events for which the rule of a cohort had no answer: they don't count"
)
SKIPPED = Counter("fillip_cohort_set_aside_total", "Events that could not be counted for cohorts: alarm on any")
IDLE_S = 0.5
"""While nobody has a rule, a batch is taken so seldom: it costs those who decide less."""
NOBODY: Mapping[str, object] = {}
NONE: frozenset[str] = frozenset()


class LiveRule(Struct, frozen=True):
    """The rule of a cohort, compiled: `holds` says which events count, `measure` how much (None: 1 each)."""

    tenant_id: str
    rule_id: UUID
    definition: CohortRule
    holds: Rule
    measure: Rule | None


class Counted(Struct, frozen=True, gc=False):
    """What an event gives to a user's tally."""

    rule: LiveRule
    user_id: str
    event_key: UUID
    term: Term
    received_at: datetime


class ReversalSeen(Struct, frozen=True, gc=False):
    """A reversal in the log: which event it takes back. What comes of it the ledger tells, when the worker is past this place."""

    topic: str
    partition: int
    offset: int
    tenant_id: str
    event_key: UUID
    received_at: datetime


RuleBook: TypeAlias = Mapping[tuple[str, str], Sequence[LiveRule]]
"""By tenant and action."""


class CohortRules(Protocol):
    """The rules of cohorts."""

    async def read(self, tenant_ids: Collection[str]) -> RuleBook:
        """Those of these tenants that were saved before the call. Raises Retry."""


class OfTenants:
    """Records of tenants that have rules, and no others: what nobody counts is not decoded."""

    def __init__(
        self, list_tenants: Callable[[], Awaitable[Sequence[str]]], peek_tenant: Callable[[bytes | None], str | None]
    ) -> None:
        """`peek_tenant` tells whose a record claims to be, at little cost."""
        self._list_tenants, self._peek_tenant = list_tenants, peek_tenant

    async def __call__(self, records: Sequence[Record]) -> Sequence[Record]:
        """Raises Retry when it can't be told who has rules."""
        tenants = set(await self._list_tenants())
        if not tenants:
            await asyncio.sleep(IDLE_S)
            return ()
        picked: list[Record] = []
        async for portion in take_portions(records):
            picked += [record for record in portion if self._peek_tenant(record.value) in tenants]
        return picked


class Count:
    """Events into what they count, and reversals into what they take back; whatever was rejected counts for nobody."""

    def __init__(self, rules: CohortRules) -> None:
        self._rules = rules

    async def __call__(self, items: Sequence[Event | Rejection]) -> list[Counted | ReversalSeen]:
        """Raises Retry when the rules can't be read."""
        events = [item for item in items if isinstance(item, Event)]
        if not events:
            return []
        rules = await self._rules.read({event.tenant_id for event in events})
        counted: list[Counted | ReversalSeen] = []
        runs = 0
        for event in events:
            if event.action == REVERSAL:
                counted.append(_see(event))
            for rule in rules.get((event.tenant_id, event.action), ()):
                runs += 1
                if runs % RUNS_AT_ONCE == 0:
                    await asyncio.sleep(0)
                if term := _measure(rule, event):
                    counted.append(Counted(rule, event.user_id, event.key, term, event.received_at))
        return counted


def _see(event: Event) -> ReversalSeen:
    asked, place = read_reversal(event.attributes), event.place
    return ReversalSeen(
        topic=place.topic,
        partition=place.partition,
        offset=place.offset,
        tenant_id=event.tenant_id,
        event_key=identify_event(event.tenant_id, asked.event_source or event.source, asked.event_id),
        received_at=event.received_at,
    )


def _measure(rule: LiveRule, event: Event) -> Term | None:
    """What an event counts; None where that is nothing."""
    try:
        if not rule.holds(event.typed, NOBODY, NONE):
            return None
        amount = 1 if rule.measure is None else int(rule.measure(event.typed, NOBODY, NONE))
    except RuleError:
        FAILED.inc()
        return None
    return make_term(event.occurred_at, event.key, amount) if amount > 0 else None
