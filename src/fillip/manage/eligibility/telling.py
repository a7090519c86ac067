"""Tells what a user can earn: what is read of the ledger, in turns with what is computed beside the event loop; nothing is written."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.event import Event
from fillip.core.limit import Limit
from fillip.core.ports import MeetEvent
from fillip.manage.eligibility import postgres
from fillip.manage.eligibility.ledger import LedgerState
from fillip.manage.eligibility.standing import Rooms, charge_standing, list_limits
from fillip.manage.eligibility.told import Standing, tell_all
from fillip.manage.eligibility.trial import Begun, Weighed, begin, try_amounts, weigh_misses
from fillip.manage.merge.postgres import share_user
from fillip.manage.request.route import UnitOfWork


async def tell_with_event(work: UnitOfWork, event: Event, meet: MeetEvent, now: datetime, most: int) -> bytes:
    """The answer for an event that was not sent, as JSON. Raises Retry."""
    event = replace(event, user_id=await share_user(work.connection, work.caller, event.user_id))
    book = event.book
    index = event.index
    asks_cohorts = index is not None and bool(index.targeted or index.open_at(event.occurred_at).uses_cohorts)
    user = await postgres.read_user(
        work.connection,
        work.caller,
        event.user_id,
        with_cohorts=asks_cohorts,
        with_quests=book.has_quests,
        with_ended=False,
    )
    event = _place(event, user)
    begun = await work.compute(begin, event, user.stored, user.cohorts, meet)
    standing_limits = {
        limit.limit_id: limit
        for quest_id in user.instances
        if quest_id in book.campaign_versions
        for limit in list_limits(event, book.campaign_versions[quest_id])
    }
    standing = charge_standing(event, standing_limits.values())
    begun = replace(begun, needed=replace(begun.needed, charges=[*begun.needed.charges, *standing]))
    ledger = await postgres.read_ledger(work.connection, work.caller, event.user_id, begun.needed)
    asked = _Asked(begun, user, standing_limits, meet, now, most)
    weighed = await work.compute(_weigh, asked, ledger)
    if isinstance(weighed, bytes):
        return weighed
    more = await postgres.read_ledger(work.connection, work.caller, event.user_id, weighed.needed)
    return await work.compute(_tell_weighed, asked, ledger.join(more), weighed)


class _Asked(Struct, frozen=True):
    """An event that was not sent, with what is known of its user, and how it is to be told; `limits` are those of quests that are open."""

    begun: Begun
    user: postgres.UserFacts
    limits: Mapping[str, Limit]
    meet: MeetEvent
    now: datetime
    most: int


def _weigh(asked: _Asked, ledger: LedgerState) -> Weighed | bytes:
    """The answer; what it is weighed to so far, where more of the ledger has to be known."""
    user = asked.user
    weighed = weigh_misses(asked.begun, user.stored, user.cohorts, asked.meet, ledger, asked.now)
    return weighed if weighed.needed.asks else _tell_weighed(asked, ledger, weighed)


def _tell_weighed(asked: _Asked, ledger: LedgerState, weighed: Weighed) -> bytes:
    begun, user = asked.begun, asked.user
    known = Standing(
        event=begun.event,
        is_event=True,
        user=begun.user or {},
        user_revision=user.stored.revision if user.stored else None,
        cohorts=user.cohorts,
        instances=user.instances,
        rooms=Rooms(begun.event, asked.limits, ledger.counters),
        counters=ledger.counters,
        asked=ledger.instances,
        paper=weighed.paper,
        misses=[*weighed.sure, *try_amounts(weighed, ledger, asked.now)],
    )
    return tell_all(known, asked.now, asked.most)


async def tell_without_event(work: UnitOfWork, instant: Event, now: datetime, most: int) -> bytes:
    """The answer before any event, as JSON: `instant` is one of no action, that tells the user and the time. Raises Retry."""
    instant = replace(instant, user_id=await share_user(work.connection, work.caller, instant.user_id))
    book = instant.book
    user = await postgres.read_user(
        work.connection,
        work.caller,
        instant.user_id,
        with_cohorts=bool(book.cohort_names),
        with_quests=book.has_quests,
        with_ended=book.has_single_quests,
    )
    instant = _place(instant, user)
    counters = await postgres.read_used(work.connection, work.caller, instant)
    known = Standing(
        event=instant,
        is_event=False,
        user={},
        user_revision=user.stored.revision if user.stored else None,
        cohorts=user.cohorts,
        instances=user.instances,
        rooms=Rooms(instant, book.limits, counters),
    )
    return await work.compute(tell_all, known, now, most)


def _place(event: Event, user: postgres.UserFacts) -> Event:
    """The event where its user lives."""
    return replace(event, user_time_zone=user.stored.time_zone) if user.stored else event
