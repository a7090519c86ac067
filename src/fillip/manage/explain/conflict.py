"""Who would win an event: the campaigns that stand against each other, tried as everything stands now."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct, structs
from sqlalchemy import Row, bindparam, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from fillip.core.book.version import Entry
from fillip.core.campaign.campaign import REFUSING, Campaign
from fillip.core.ledger.conflict import Winners, collide, rank
from fillip.core.limit import Counter, CounterKey, Touch, take, weigh
from fillip.core.match.limit_charges import list_touches
from fillip.core.match.reward_values import appraise
from fillip.core.ports import Caller
from fillip.core.rule import RuleError
from fillip.manage.campaign.postgres import select_campaigns
from fillip.manage.explain.checks import Check, Situation, is_earned
from fillip.manage.explain.postgres import find_instances, know_opening, list_limits, read_counters, read_entries
from fillip.manage.explain.quest_trial import imagine_meeting, try_quest
from fillip.manage.named_list.postgres import find_key_lists, read_lists
from fillip.manage.request.route import Work
from fillip.manage.store import tables

_definition = tables.campaign_version.c.definition


_table, _version = tables.campaign.c, tables.campaign_version.c
_OPEN = (
    select(_version.definition)
    .join(
        tables.campaign,
        (_table.tenant_id == _version.tenant_id)
        & (_table.campaign_id == _version.campaign_id)
        & (_table.version == _version.version),
    )
    .where(
        _table.tenant_id == bindparam("tenant_id"),
        _table.campaign_id != bindparam("campaign_id"),
        _table.state.not_in(REFUSING),
    )
)
_MAY_COLLIDE = _OPEN.where(or_(_definition["stackable"].astext == "false", _definition["exclusive"].is_not(None)))


class Rival(Struct, frozen=True):
    """A campaign that the event would earn, but for conflicts and limits."""

    entry: Entry
    values: Sequence[int]
    touches: Sequence[Touch]


async def check_conflict_now(work: Work, situation: Situation, values: Sequence[int]) -> Check:
    """Whether another campaign would win the event; `values` are what this one's rewards are worth for it."""
    connection, caller = work.connection, work.caller
    if not await _list_colliding(connection, caller, situation.entry):
        return describe_conflict(None)
    rivals = [rival async for rival in _find_rivals(work, situation, values)]
    rivals.sort(key=lambda rival: (-rival.entry.campaign.priority, rival.entry.campaign_id))
    used = await read_counters(connection, caller, [touch for rival in rivals for touch in rival.touches])
    return describe_conflict(_find_winner(situation.entry, rivals, used))


def describe_conflict(winner: str | None) -> Check:
    """The check of a campaign that `winner` outranked, or nobody."""
    message = f"campaign {winner} wins the event instead" if winner else "no other campaign wins the event instead"
    reason = "outranked" if winner else None
    return Check(check="conflict", passed=not winner, reason=reason, message=message, outranked_by=winner)


async def _list_colliding(connection: AsyncConnection, caller: Caller, entry: Entry) -> list[Row[Any]]:
    statement = _MAY_COLLIDE if entry.campaign.stackable else _OPEN
    given = {"tenant_id": caller.tenant_id, "campaign_id": entry.campaign_id}
    rows = (await connection.execute(statement, given)).all()
    return [row for row in rows if collide(entry.campaign, msgspec.convert(row.definition, Campaign))]


async def _find_rivals(work: Work, situation: Situation, values: Sequence[int]) -> AsyncIterator[Rival]:
    connection, caller = work.connection, work.caller
    entry, event = situation.entry, situation.event
    same_action = or_(_definition["action"].astext == event.action, _definition["kind"].astext == "QUEST")
    others = select_campaigns(caller).where(
        _table.campaign_id != entry.campaign_id, _table.state.not_in(REFUSING), same_action
    )
    rows = (await connection.execute(others)).all()
    entries = [entry, *await read_entries(connection, caller, rows)]
    limits = {limit.limit_id: limit for limit in await list_limits(connection, caller)}
    lists = await read_lists(connection, caller, find_key_lists(limits.values()))
    book = structs.replace(event.book, entries={e.campaign_id: e for e in entries}, limits=limits, lists=lists)
    event = structs.replace(event, book=book)
    for other in entries:
        version: Entry | None = entry
        if other is not entry:
            version = await _find_earned(work, structs.replace(situation, entry=other, event=event))
        if version is None:
            continue
        found = structs.replace(situation, entry=version, event=event)
        if rival := await work.compute(_weigh, found, is_asked=version is entry):
            yield rival


def _weigh(situation: Situation, *, is_asked: bool) -> Rival | None:
    """The campaign with what it would give; None where that is nothing."""
    event, version = situation.event, situation.entry
    worth = appraise(event, version, situation.user, situation.cohorts)
    if worth.refused and not is_asked:
        return None
    try:
        touches = list_touches(event, version, worth.values, situation.user, situation.cohorts)
    except RuleError:
        return None
    return Rival(version, worth.values, touches)


async def _find_earned(work: Work, situation: Situation) -> Entry | None:
    """The version of a campaign that the event would earn; None where it earns nothing."""
    connection, caller = work.connection, work.caller
    versions = [structs.replace(situation, entry=each) for each in (situation.entry, *situation.entry.kept)]
    if not await work.compute(lambda: any(map(_is_met, versions))):
        return None
    if situation.entry.campaign.quest:
        situation = await know_opening(connection, caller, situation)
        meeting, user_id = await work.compute(imagine_meeting, situation), situation.event.user_id
        known = await find_instances(connection, caller, situation.entry.campaign_id, user_id, meeting)
        trial = await work.compute(try_quest, situation, meeting, known)
        if not trial.completes:
            return None
        situation = trial.situation
    return situation.entry if await work.compute(_is_met, situation) else None


def _is_met(situation: Situation) -> bool:
    return is_earned(situation, datetime.now(UTC))


def _find_winner(entry: Entry, rivals: Sequence[Rival], used: Mapping[CounterKey, Counter]) -> str | None:
    counters = {touch.counter: used.get(touch.counter, Counter(0, 0)) for r in rivals for touch in r.touches}
    winners = Winners()
    for rival in rank(rivals):
        winner = winners.find(rival.entry)
        if rival.entry is entry:
            return winner
        if winner is None and weigh(rival.touches, counters)[1] is None:
            take(rival.touches, counters)
            winners.add(rival.entry)
    return None
