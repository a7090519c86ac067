"""The mutation gate: known ways to be wrong, planted at run time, each of which the state machine has to find.

A fault patches the product in this process while `planted`; nothing broken is ever stored.
"""

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test
from msgspec.structs import replace

from fillip.core import event as core_event
from fillip.core.backfill import narrow_book
from fillip.core.book import route, timeline
from fillip.core.book.book import Book
from fillip.core.book.version import CampaignVersion
from fillip.core.campaign.campaign import Campaign
from fillip.core.campaign.hours import tell_minute
from fillip.core.campaign.period_end import PeriodEnd
from fillip.core.campaign.reward import Reward
from fillip.core.campaign.variant import choose_variant
from fillip.core.identity import identify_event
from fillip.core.ledger import reevaluation, reversal, settlement
from fillip.core.ledger.conflict import Winners
from fillip.core.ledger.decision import DecisionReason, identify_decision
from fillip.core.ledger.reversal import CounterCredit
from fillip.core.limit import Counter, CounterUse, Limit, LimitCharge, take, weigh
from fillip.core.local_day import find_last
from fillip.core.match import candidate as match_candidate
from fillip.core.match import limit_charges as charge
from fillip.core.match.candidate import Match
from fillip.core.quest import batch as questing
from fillip.core.quest import instance, step
from fillip.core.quest import reversal as undoing
from fillip.core.rolling import Part, Parts
from fillip.core.schema import reader
from fillip.core.tenant import Tenant, start_window
from fillip.manage.api import campaigns
from fillip.manage.campaign import definition
from fillip.match import stage as match_stage
from fillip.rows.limit import postgres as limit_rows
from fillip.settle import postgres, rows, stage
from fillip.settle.backfill import BackfillWalk
from fillip.settle.backfill import postgres as past_postgres
from fillip.settle.backfill import walk as past_walk
from fillip.settle.reversal import batch as reversal_batch
from fillip.settle.reversal import postgres as reversal_postgres
from fillip.settle.reversal.batch import ReversalBatch
from fillip.settle.reversal.postgres import PostgresReversals
from fillip.settle.reversal.stage import PendingReversal
from tests.oracle import focus
from tests.oracle.faults_asked import FAULTS_ASKED
from tests.oracle.faults_levels import FAULTS_LEVELS
from tests.oracle.faults_promised import FAULTS_PROMISED
from tests.oracle.focus import narrow
from tests.oracle.machine import Found, Machine, OutOfTime, Site
from tests.oracle.planting import SEARCH, Fault, Search
from tests.oracle.planting import plant_attribute as _attribute
from tests.oracle.planting import plant_sql as _sql
from tests.oracle.shop import Hindered

WITHIN_EXAMPLES = 300
"""Most are found within some ten."""
LONGEST_S = 600.0
"""By the clock, that one search may take: ten times what one of all these sequences does."""


async def _keep_all(
    ledger: stage.LedgerTransaction, matches: Sequence[Match]
) -> tuple[list[Match], list[Any], stage.Recorded]:
    """Every event is taken for new."""
    *_, recorded = await _drop_duplicates(ledger, matches)
    return list(matches), [], recorded


def _decide_on_stale(requests: Sequence[Any], counters: dict[Any, Counter], *rest: Any) -> Iterator[Any]:
    """Each claim of a batch sees the counters as they were before the batch."""
    before = dict(counters)
    for request in requests:
        seen = dict(before)
        yield from _decide([request], seen, *rest)
        for key, counter in seen.items():
            if counter != before[key]:
                used = counters[key].used + counter.used - before[key].used
                counters[key] = Counter(used, counters[key].version + 1)


def _deny_by_hint(request: settlement.GrantRequest, caps: Mapping[Any, int], seen: object) -> CounterUse | None:
    """Valkey says full, so it is."""
    full = next((t for t in request.charges if t.counter in request.match.full), None)
    if full is None:
        return None
    where = full.counter
    return CounterUse(where.limit_id, where.key, where.window_start, 0, 0, full.amount, full.cap)


def _skip_a_number(request: settlement.GrantRequest, decision: Any, inbox_heads: dict[Any, int], *rest: Any) -> Any:
    inbox_heads[request.user] = inbox_heads.get(request.user, 0) + 1
    return _number(request, decision, inbox_heads, *rest)


def _grant_by_hint(
    request: settlement.GrantRequest, passed_over: DecisionReason | None, refused_by: CounterUse | None
) -> DecisionReason | None:
    """Valkey shows room, so there is."""
    return _find_reason(request, passed_over, refused_by if request.match.full else None)


def _take_halves(charges: Sequence[LimitCharge], counters: Any) -> Any:
    """What is refused takes from the limits that had room."""
    uses, refused_by = _weigh(charges, counters)
    take([charge for charge, use in zip(charges, uses, strict=True) if refused_by and use.fits], counters)
    return uses, refused_by


def _serve_one(known: Iterable[instance.Instance], quest_event: instance.QuestEvent, open_now: int) -> instance.Advance:
    """An event counts for the first of the instances that wait for it."""
    done = _advance(known, quest_event, open_now)
    return replace(done, moved=done.moved[:1])


def _count_on(quest: instance.Instance, quest_event: instance.QuestEvent) -> instance.Transition | None:
    """What was completed waits for its last step once more."""
    if quest.state != "completed":
        return _meet(quest, quest_event)
    *steps, last = quest.steps
    moved = _meet(replace(quest, state="open", steps=(*steps, replace(last, done=last.needed - 1))), quest_event)
    if moved is None:
        return _meet(quest, quest_event)
    further = replace(moved.instance, steps=(*steps, replace(last, done=last.done + 1)))
    return replace(moved, instance=further)


def _close_behind(form: Any, newest: date | None, day: date, due_day: date) -> bool:
    """A streak's newest day closes those before it."""
    return newest is not None and day < newest


def _forget_repeats(part: Any, state: step.StepState, *given: Any) -> step.StepState | None:
    """An event of a value that was counted gives nothing, so it is not there when the other is taken back."""
    after = _add_event(part, state, *given)
    return None if part.distinct and after is state else after


def _find_for_first(self: route.Route, steps: Iterable[int], *rest: Any) -> tuple[int, ...]:
    """Only what asks for the first step that the event meets is found."""
    return _find_route(self, list(steps)[:1], *rest)


def _find_no_null(self: route.Route, *told: Any) -> tuple[int, ...]:
    """An event without the attribute finds nothing."""
    return tuple(found for found in _find_route(self, *told) if found != route.hash_route(self.path, None))


def _identify_with_version(request: settlement.GrantRequest, *rest: Any) -> Any:
    name = f"{request.campaign_version.campaign_id}/{request.campaign_version.version}"
    event = request.match.event
    number = identify_decision(event.tenant_id, name, request.instance, event.source, event.event_id)
    return replace(_record(request, *rest), decision_id=number)


@asynccontextmanager
async def _open_apart(self: postgres.PostgresLedger) -> Any:
    """The offsets are stored in a transaction of their own, before the batch's."""

    class Apart(postgres.PostgresTransaction):
        async def fence(transaction, batch: Any, tenant_ids: Any) -> None:
            async with _open(self) as first:
                await first.fence(batch, tenant_ids)
            await transaction._connection.execute(
                "SELECT set_config('app.tenants', $1, true)", ",".join(sorted(tenant_ids))
            )

    async with self._pool.acquire() as connection, connection.transaction():
        yield Apart(connection, "apart")


def _shorten(instant: datetime, span_s: float) -> datetime:
    return instant + timedelta(seconds=span_s, microseconds=-1)


async def _forget_waiting(self: PostgresReversals, originals: Any) -> list[Any]:
    return []


def _lower_the_whole(quest: Any, contribution: instance.Contribution, share: Any) -> instance.Contribution:
    """A part takes nothing of a sum."""
    return _lower(quest, contribution, share if share == 1 else share * 0)


def _is_void_if_empty(lowering: undoing.Lowering) -> bool:
    """Any step that has events left keeps the instance."""
    return _is_void(lowering) and (
        lowering.history.quest.start.at == "event" or not any(state.left for state in lowering.steps)
    )


def _tell_own_steps(lowering: undoing.Lowering, *rest: Any) -> tuple[undoing.StepTaken, ...]:
    return tuple(each for each in _list_taken(lowering, *rest) if each.amount)


def _forget_grant(self: ReversalBatch, key: Any, settled: settlement.Settled) -> None:
    """A reversal does not see what its own batch granted."""
    self.postings.append(settled)


def _forget_contributions(self: ReversalBatch, key: Any) -> None:
    """A reversal does not see what its own batch gave to quests."""


def _weigh_before(self: Parts, part: Part) -> tuple[int, None]:
    first = part.number - part.reach
    return sum(used for number, used in self._used.items() if first <= number <= part.number), None


def _credit_late(self: ReversalBatch, credit: Any) -> Any:
    """What a reversal gives back is there for the next batch, not for the events behind it."""
    given = _credit(self, credit)
    self._state.counters[credit.counter] = Counter(given.used_before, given.version + 1)
    return given


def _keep_closed(self: questing.InstanceBatch, place: questing.InstanceKey, quest: instance.Instance) -> None:
    """An instance that a reversal opens again takes no events of the same batch."""
    self.changed[place] = quest


def _date_by_receipt(self: BackfillWalk, past: Any, *rest: Any) -> Any:
    """The past happened when it was received."""
    return _read_past(self, replace(past, occurred_at=past.received_at), *rest)


async def _forget_grants(self: past_postgres.PostgresPast, *said: Any) -> dict[Any, Any]:
    """Nobody was granted for the past before."""
    return {}


async def _put_nothing(*said: Any, **more: Any) -> None:
    """Limits of definitions are said and never made."""


def _reach_nothing(
    incentive: reversal.GrantedIncentive, grant: reversal.Grant, so_far: reversal.ReversedSoFar
) -> tuple[int, bool]:
    """What returns before have taken, as far as asking again knows."""
    return (0, False) if so_far.reevaluated else _reach(incentive, grant, so_far)


def _reach_although_kept(incentive: reversal.GrantedIncentive, *rest: Any) -> tuple[int, bool]:
    """A part takes its share of all that can be divided."""
    return _reach(replace(incentive, on_partial=None), *rest)


_OWN_SOURCE = property(lambda self: self.source)
_IS_NEWEST = (
    "v.version = (SELECT c.version FROM campaign c WHERE (c.tenant_id, c.campaign_id) = (i.tenant_id, i.campaign_id))"
)
_IS_NEWEST_OF_DECIDED = (
    "v.version = (SELECT c.version FROM campaign c WHERE (c.tenant_id, c.campaign_id) = (d.tenant_id, d.campaign_id))"
)
_ALL_TAKEN = "SELECT unnest($4::uuid[]) AS event_key, $1::text, $2::text, $3::int"
_ALL_INDEXES = "CASE WHEN d.variant IS NULL THEN d.reward_values ELSE v.definition -> 'rewards' END"
_weigh_reversal, _weigh_line, _reach = reversal.weigh_reversal, reversal._weigh_line, reversal.reach
_lower, _credit = undoing._lower, ReversalBatch._credit
_is_void, _list_taken = undoing._is_void, undoing._list_taken
_drop_duplicates, _decide, _number = stage._drop_duplicates, settlement.decide, settlement._number
_list_requests_of, _build_candidate = settlement._list_requests_of, match_stage._build_candidate
_find_reason, _record, _weigh = settlement._find_reason, settlement._record, weigh
_list_values = rows._list_values
_meet, _advance, _add_event = instance.meet, instance.advance, step.add_event
_find_route, _measure_credit = route.Route.find, reversal._measure_credit
_read_past, _narrow_book = BackfillWalk._read_event, narrow_book
_find_end = PeriodEnd.find
_open, _start_window, _read_key = postgres.PostgresLedger.open, start_window, charge._read_key


def _advance_although(
    is_barred: Callable[[Match, Any], bool],
) -> Callable[[Match, Any, questing.InstanceBatch], Iterator[settlement.GrantRequest]]:
    """What a quest is sent counts for its steps all the same where it is so, though it earns nothing yet."""

    def advance(match: Match, candidate: Any, instances: questing.InstanceBatch) -> Iterator[settlement.GrantRequest]:
        if is_barred(match, candidate) and candidate.campaign_version.campaign.quest:
            instances.advance(match.event, candidate)
        yield from _list_requests_of(match, candidate, instances)

    return advance


_advance_in_pause = _advance_although(lambda match, candidate: candidate.campaign_version.is_paused)
_advance_held_out = _advance_although(lambda match, candidate: match.event.held_out)


def _pass_over_paused(event: Any, triggers: Sequence[Any], *rest: Any) -> Any:
    """What a paused campaign is sent leaves nothing behind, so that it is new when it is sent again."""
    return None if triggers[0].campaign_version.is_paused else _build_candidate(event, triggers, *rest)


def _tell_shadow_first(request: settlement.GrantRequest, *rest: Any) -> DecisionReason | None:
    """Whatever else denies what a campaign in shadow meets."""
    return "shadow" if request.campaign_version.is_shadow else _find_reason(request, *rest)


def _ignore_key(event: Any, limit: Any, *rest: Any) -> Any:
    _read_key(event, limit, *rest)
    return ""


def _credit_of_each(use: CounterUse, terms: reversal.LimitTerms, *rest: Any) -> int:
    """A part gives a counter back the values of every currency."""
    return _measure_credit(use, replace(terms, currency=None), *rest)


FAULTS = [
    Fault("no compare-and-set of offsets", _sql("fence", "AND p.next_offset = s.start", ""), focus.ZOMBIES),
    Fault(
        "offsets stored apart from the batch", _attribute(postgres.PostgresLedger, "open", _open_apart), focus.CRASHES
    ),
    Fault("no dedupe", _attribute(stage, "_drop_duplicates", _keep_all), focus.NAMED),
    Fault(
        "a source that does not count",
        _attribute(core_event, "identify_event", lambda tenant, source, event_id: identify_event(tenant, "", event_id)),
        focus.NAMED,
    ),
    Fault(
        "a reversal's own source for the one it names",
        _attribute(PendingReversal, "original_source", _OWN_SOURCE),
        focus.REVERSALS,
    ),
    Fault(
        "instances of two sources that are one",
        _attribute(questing, "name_key", lambda event_id, key: event_id),
        focus.OPENED_BY,
    ),
    Fault(
        "< for <= under a cap",
        _attribute(CounterUse, "fits", property(lambda u: u.used_before + u.amount < u.cap)),
        focus.COUNTS,
    ),
    Fault(
        "a cap that the last grant may exceed",
        _attribute(CounterUse, "fits", property(lambda u: u.used_before < u.cap)),
        focus.VALUES,
    ),
    Fault("stale counters within a batch", _attribute(stage, "decide", _decide_on_stale), focus.COUNTS),
    Fault("counters read without a lock", _sql("lock_counters", "FOR UPDATE OF c", "", limit_rows.SQL), focus.RACES),
    Fault("a denial by the hint alone", _attribute(stage, "refuse_early", _deny_by_hint), focus.HINTS),
    Fault("granted by the hint alone", _attribute(settlement, "_find_reason", _grant_by_hint), focus.HINTS),
    Fault("a refusal that takes from its limits", _attribute(settlement, "weigh", _take_halves), focus.COUNTS),
    Fault("granted although outranked", _attribute(Winners, "find", lambda self, campaign_version: None), focus.RIVALS),
    Fault("ids that tell the campaign's version", _attribute(settlement, "_record", _identify_with_version), focus.ANY),
    Fault(
        "windows by the worker's clock",
        _attribute(charge, "start_window", lambda span, day, *rest: _start_window(span, date.today())),  # noqa: DTZ011
        focus.COUNTS,
    ),
    Fault("days in UTC", _attribute(Tenant, "local_day", lambda self, at: at.astimezone(UTC).date()), focus.COUNTS),
    Fault(
        "users' own days in the tenant's zone",
        _attribute(core_event.Event, "find_day", lambda self, zone: self.day),
        focus.OWN_DAYS,
    ),
    Fault("a book that asks for nobody's zone", _attribute(Book, "zoned_actions", frozenset()), focus.OWN_DAYS),
    Fault(
        "rules that read now for an event's time", _attribute(reader, "count_ns", lambda _: time.time_ns()), focus.TIMES
    ),
    Fault("hours in UTC", _attribute(timeline, "tell_minute", lambda at, zone: tell_minute(at, "UTC")), focus.TIMES),
    Fault(
        "rewards that end with a day in UTC",
        _attribute(PeriodEnd, "find", lambda self, at, zone, own: _find_end(self, at, "UTC", "UTC")),
        focus.DATES,
    ),
    Fault(
        "rewards that end with the tenant's day where they end with the user's",
        _attribute(PeriodEnd, "find", lambda self, at, zone, own: _find_end(self, at, zone, None)),
        focus.OWN_DATES,
    ),
    Fault(
        "a day that ends in UTC",
        _attribute(definition, "find_last", lambda day, time_zone: find_last(day, "UTC")),
        focus.TIMES,
    ),
    Fault("a quest's window without its end", _attribute(instance, "add_span", _shorten), focus.QUESTS),
    Fault("an event that counts for one instance only", _attribute(questing, "advance", _serve_one), focus.OPENED_BY),
    Fault("a quest instance completed twice", _attribute(instance, "meet", _count_on), focus.QUESTS),
    Fault(
        "steps forgotten by a new version",
        _attribute(instance, "carry", lambda state, needed: replace(state, done=0, needed=needed)),
        focus.MIGRATIONS,
    ),
    Fault(
        "late days of a streak that never join", _attribute(instance, "is_closed", _close_behind), focus.DAYS_IN_A_ROW
    ),
    Fault(
        "late days of a streak that always join",
        _attribute(instance, "is_closed", lambda *said: False),
        focus.DAYS_IN_A_ROW,
    ),
    Fault(
        "a value that counts twice", _attribute(step, "add_value", lambda marks, value: (*marks, value)), focus.DISTINCT
    ),
    Fault(
        "a reversal that forgets who else had the value",
        _attribute(instance, "add_event", _forget_repeats),
        focus.DISTINCT,
    ),
    Fault(
        "an instance that another follows goes on",
        _attribute(instance, "_close", lambda each, follower: each),
        focus.FOLLOWED,
    ),
    Fault(
        "kept instances under the newest version",
        _attribute(instance.QuestEvent, "under", lambda self, version: self),
        focus.MIGRATIONS,
    ),
    Fault("instances found for one step only", _attribute(route.Route, "find", _find_for_first), focus.ROUTES),
    Fault("instances without the attribute not found", _attribute(route.Route, "find", _find_no_null), focus.ROUTES),
    Fault("a limit's key ignored", _attribute(charge, "_read_key", _ignore_key), focus.KEYS),
    Fault("granted in a pause", _attribute(CampaignVersion, "is_paused", property(lambda self: False)), focus.PAUSES),
    Fault("granted although held out", _attribute(Tenant, "holds_out", lambda self, user_id: False), focus.HOLDOUTS),
    Fault(
        "steps of a user who is held out",
        _attribute(settlement, "_list_requests_of", _advance_held_out),
        focus.HOLDOUTS,
    ),
    Fault(
        "what every variant gets for each of them",
        _attribute(Campaign, "list_rewards", lambda self, variant: dict(enumerate(self.rewards))),
        focus.VARIANTS,
    ),
    Fault(
        "variants that leak from one campaign into another",
        _attribute(
            core_event,
            "choose_variant",
            lambda variants, tenant, campaign, user: choose_variant(variants, tenant, "", user),
        ),
        focus.VARIANTS,
    ),
    Fault(
        "a quest that goes on for a control",
        _attribute(match_candidate, "is_control", lambda *said: False),
        focus.VARIANTS,
    ),
    Fault(
        "a variant's incentives found by how many they are",
        _sql("find_grants", _ALL_INDEXES, "d.reward_values", reversal_postgres.SQL),
        focus.VARIANTS,
    ),
    Fault("events of a pause forgotten", _attribute(match_stage, "_build_candidate", _pass_over_paused), focus.PAUSES),
    Fault(
        "a quest that goes on in a pause", _attribute(settlement, "_list_requests_of", _advance_in_pause), focus.PAUSES
    ),
    Fault(
        "a launch that pays for the past",
        _attribute(campaigns, "plan_launch", lambda campaign, row, now: campaign),
        focus.LATE,
    ),
    Fault(
        "a launch without the limits of its definition",
        _attribute(campaigns, "put_in_force", _put_nothing),
        focus.OWN_LIMITS,
    ),
    Fault(
        "a change that forgets the launch",
        _attribute(campaigns, "keep_start", lambda campaign, row: campaign),
        focus.CHANGES,
    ),
    Fault("granted in shadow", _attribute(CampaignVersion, "is_shadow", property(lambda self: False)), focus.SHADOWS),
    Fault(
        "a launch that finds what its shadow began",
        _attribute(CampaignVersion, "quest_id", property(lambda self: self.campaign_id)),
        focus.SHADOWS,
    ),
    Fault(
        "a shadow that is told before all else",
        _attribute(settlement, "_find_reason", _tell_shadow_first),
        focus.SHADOWS,
    ),
    Fault(
        "a shadow that does not tell what it would give",
        _attribute(rows, "_list_values", lambda settled: _list_values(settled) if settled.incentives else []),
        focus.SHADOWS,
    ),
    Fault(
        "a reversal of what a shadow began",
        _attribute(questing.InstanceKey, "is_of_shadow", property(lambda self: False)),
        focus.SHADOWS,
    ),
    Fault("late events granted", _attribute(match_stage, "is_late", lambda event: False), focus.LATE),
    Fault("a reversal without giving back", _attribute(reversal, "give_back", lambda *said: []), focus.GIVEN_BACK),
    Fault(
        "a reversal applied twice",
        _attribute(
            reversal_batch, "weigh_reversal", lambda order, past: _weigh_reversal(order, reversal.ReversedSoFar())
        ),
        focus.REVERSALS,
    ),
    Fault(
        "pieces of a line that are not added up",
        _attribute(reversal, "_weigh_line", lambda line, of, before: _weigh_line(line, of, reversal.TakenLine())),
        focus.REVERSALS,
    ),
    Fault(
        "a line whose whole is forgotten",
        _attribute(
            reversal, "_weigh_line", lambda line, of, before: _weigh_line(line, of, reversal.TakenLine(before.share))
        ),
        focus.REVERSALS,
    ),
    Fault(
        "a waiting reversal forgotten", _attribute(PostgresReversals, "find_waiting", _forget_waiting), focus.REVERSALS
    ),
    Fault("sums that keep what was taken back in part", _attribute(undoing, "_lower", _lower_the_whole), focus.UNDONE),
    Fault(
        "kept instances recounted under the newest version",
        _sql("lock_histories", "v.version = i.campaign_version", _IS_NEWEST, reversal_postgres.SQL),
        focus.KEPT,
    ),
    Fault(
        "an ordered quest without what it began with left open",
        _attribute(undoing, "_is_void", _is_void_if_empty),
        focus.UNDONE,
    ),
    Fault("steps that fell behind another not told", _attribute(undoing, "_list_taken", _tell_own_steps), focus.UNDONE),
    Fault("a quest's reward kept", _attribute(ReversalBatch, "_list_lost", lambda *said: []), focus.UNDONE),
    Fault(
        "a grant of the same batch that a reversal does not see",
        _attribute(ReversalBatch, "_note_grant", _forget_grant),
        focus.REVERSALS,
    ),
    Fault(
        "a quest's step of the same batch that a reversal does not see",
        _attribute(ReversalBatch, "_note_contributions", _forget_contributions),
        focus.UNDONE,
    ),
    Fault(
        "counters that stay used for the rest of the batch",
        _attribute(ReversalBatch, "_credit", _credit_late),
        focus.GIVEN_BACK,
    ),
    Fault(
        "an instance opened again too late for its batch",
        _attribute(questing.InstanceBatch, "put", _keep_closed),
        focus.UNDONE,
    ),
    Fault(
        "points of every currency under one cap",
        _attribute(Limit, "adds_up", lambda self, kind, currency: kind == self.reward_kind),
        focus.CURRENCIES,
    ),
    Fault(
        "what is left refused",
        _attribute(settlement, "cut", lambda charges, values, counters: (charges, values)),
        focus.LEFT_OVER,
    ),
    Fault("a rolling window that ends with its event", _attribute(Parts, "weigh", _weigh_before), focus.ROLLING),
    Fault(
        "rolling windows that stay used",
        _attribute(reversal, "CounterCredit", lambda counter, amount, part: CounterCredit(counter, amount)),
        focus.ROLLING,
    ),
    Fault(
        "what is left asked of today's version",
        _sql("read_decided_by", "v.version = d.campaign_version", _IS_NEWEST_OF_DECIDED, reversal_postgres.SQL),
        focus.RETURNS,
    ),
    Fault(
        "what is left asked of today's lists",
        _sql("read_lists_then", "n.version <= asked.book_version", "true", reversal_postgres.SQL),
        focus.RETURNS,
    ),
    Fault(
        "a return that gives again what one before it took",
        _attribute(reevaluation, "reach", _reach_nothing),
        focus.RETURNS,
    ),
    Fault("what is left that is not asked", _attribute(reevaluation, "read_left", lambda *said: None), focus.RETURNS),
    Fault(
        "the rule not asked of what is left", _attribute(reevaluation, "hold_rule", lambda *said: True), focus.RETURNS
    ),
    Fault("a reward that is kept, taken in part", _attribute(reversal, "reach", _reach_although_kept), focus.RETURNS),
    Fault(
        "what is left taken whatever it is",
        _attribute(reversal_batch, "is_readable", lambda *said: True),
        focus.RETURNS,
    ),
    Fault(
        "points of every currency given back",
        _attribute(reversal, "_measure_credit", _credit_of_each),
        focus.CURRENCIES,
    ),
    Fault("a reward granted that was over", _attribute(Reward, "is_over", lambda *said: False), focus.DATES),
    Fault(
        "a reward granted that is just over",
        _attribute(
            Reward,
            "is_over",
            lambda self, at, received_at, tenant, own: (self.expire_at(at, tenant, own) or received_at) < received_at,
        ),
        focus.DATES,
    ),
    Fault(
        "a backfill that decides what a worker has",
        _sql("read_events", ">= $3 AS decided_since", ">= $3 AND false AS decided_since", past_postgres.SQL),
        focus.DECIDED_FOR_OTHERS,
    ),
    Fault(
        "a backfill that grants what was taken back",
        _sql("read_events", ") AS reversed", ") AND false AS reversed", past_postgres.SQL),
        focus.BACKFILLS,
    ),
    Fault(
        "a backfill that decides all once more",
        _sql("take_events", past_postgres.SQL["take_events"], _ALL_TAKEN, past_postgres.SQL),
        focus.BACKFILLS,
    ),
    Fault(
        "a portion without its mark",
        _sql("keep", "events_done = $4", "events_done = events_done + 0 * $4::bigint", past_postgres.SQL),
        focus.BACKFILLS,
    ),
    Fault(
        "a backfill that goes on although another has it",
        _sql("fence", "AND run_id = $3", "AND $3::uuid IS NOT NULL", past_postgres.SQL),
        focus.BACKFILLS,
    ),
    Fault(
        "the last event before a launch that is nobody's",
        _sql("find_bounds", "p.next_offset)", "p.next_offset - 1)", past_postgres.SQL),
        focus.BACKFILLS,
    ),
    Fault("the past dated by its receipt", _attribute(BackfillWalk, "_read_event", _date_by_receipt), focus.BACKFILLS),
    Fault(
        "a backfill that takes from no limit",
        _attribute(past_walk, "narrow_book", lambda *said: replace(_narrow_book(*said), limits={})),
        focus.BACKFILLS,
    ),
    Fault(
        "a backfill that knows no earlier winner",
        _attribute(past_postgres.PostgresPast, "read_grants", _forget_grants),
        focus.RIVALS_OF_OLD,
    ),
    Fault("an inbox number skipped", _attribute(settlement, "_number", _skip_a_number), focus.ANY),
    *FAULTS_PROMISED,
    *FAULTS_ASKED,
    *FAULTS_LEVELS,
]
QUICK = [fault for fault in FAULTS if fault.name in ("< for <= under a cap", "days in UTC")]
"""Found within seconds: asked on every run of the tests."""


def find(site: Site, fault: Fault, examples: int = WITHIN_EXAMPLES) -> Search:
    """What the state machine says of a planted fault. Raises what hindered it, if it found nothing."""
    cut, whole = narrow(fault.focus) if fault.focus else {}, True
    until = time.monotonic() + LONGEST_S
    shared = {"site": site, "bites": Tally(), "differences": [], "planted": True, "until": until}
    base = fault.focus.machine if fault.focus else Machine
    machine: type[Machine] = type("Faulty", (base,), shared | cut)
    with pytest.MonkeyPatch.context() as patch:
        fault.plant(patch)
        try:
            run_state_machine_as_test(machine, settings=settings(SEARCH, max_examples=examples))
        except Found:
            pass
        except OutOfTime:
            whole = False
        except Exception as error:
            hindered = isinstance(error, Flaky | Hindered) or str(error).startswith("hindered")
            if hindered and not machine.differences:
                raise
            machine.differences.append(f"{type(error).__name__}: {error}")
    return Search(next(iter(machine.differences), ""), machine.sequences, whole)
