"""Who would win an event: the campaigns that stand against each other, tried as everything stands now."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct, structs
from sqlalchemy import Row, bindparam, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from fillip.core.book.version import CampaignVersion
from fillip.core.campaign.campaign import REFUSING, Campaign
from fillip.core.ledger.conflict import Winners, collide, rank
from fillip.core.limit import Counter, CounterKey, LimitCharge, take, weigh
from fillip.core.match.limit_charges import list_charges
from fillip.core.match.reward_values import value_rewards
from fillip.core.ports import Caller
from fillip.core.rule import RuleError
from fillip.manage.campaign.postgres import select_campaigns
from fillip.manage.explain.checks import Check, EventContext, is_earned
from fillip.manage.explain.postgres import find_instances, know_opening, list_limits, read_counters, read_entries
from fillip.manage.explain.quest_trial import build_quest_event, try_quest
from fillip.manage.named_list.postgres import find_key_lists, read_lists
from fillip.manage.request.route import UnitOfWork
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

    campaign_version: CampaignVersion
    values: Sequence[int]
    charges: Sequence[LimitCharge]


async def check_conflict_now(work: UnitOfWork, context: EventContext, values: Sequence[int]) -> Check:
    """Whether another campaign would win the event; `values` are what this one's rewards are worth for it."""
    connection, caller = work.connection, work.caller
    if not await _list_colliding(connection, caller, context.campaign_version):
        return describe_conflict(None)
    rivals = [rival async for rival in _find_rivals(work, context, values)]
    rivals.sort(key=lambda rival: (-rival.campaign_version.campaign.priority, rival.campaign_version.campaign_id))
    used = await read_counters(connection, caller, [charge for rival in rivals for charge in rival.charges])
    return describe_conflict(_find_winner(context.campaign_version, rivals, used))


def describe_conflict(winner: str | None) -> Check:
    """The check of a campaign that `winner` outranked, or nobody."""
    message = f"campaign {winner} wins the event instead" if winner else "no other campaign wins the event instead"
    reason = "outranked" if winner else None
    return Check(check="conflict", passed=not winner, reason=reason, message=message, outranked_by=winner)


async def _list_colliding(
    connection: AsyncConnection, caller: Caller, campaign_version: CampaignVersion
) -> list[Row[Any]]:
    statement = _MAY_COLLIDE if campaign_version.campaign.stackable else _OPEN
    given = {"tenant_id": caller.tenant_id, "campaign_id": campaign_version.campaign_id}
    rows = (await connection.execute(statement, given)).all()
    return [row for row in rows if collide(campaign_version.campaign, msgspec.convert(row.definition, Campaign))]


async def _find_rivals(work: UnitOfWork, context: EventContext, values: Sequence[int]) -> AsyncIterator[Rival]:
    connection, caller = work.connection, work.caller
    campaign_version, event = context.campaign_version, context.event
    same_action = or_(_definition["action"].astext == event.action, _definition["kind"].astext == "QUEST")
    others = select_campaigns(caller).where(
        _table.campaign_id != campaign_version.campaign_id, _table.state.not_in(REFUSING), same_action
    )
    rows = (await connection.execute(others)).all()
    campaign_versions = [campaign_version, *await read_entries(connection, caller, rows)]
    limits = {limit.limit_id: limit for limit in await list_limits(connection, caller)}
    lists = await read_lists(connection, caller, find_key_lists(limits.values()))
    book = structs.replace(
        event.book, campaign_versions={e.campaign_id: e for e in campaign_versions}, limits=limits, lists=lists
    )
    event = structs.replace(event, book=book)
    for other in campaign_versions:
        version: CampaignVersion | None = campaign_version
        if other is not campaign_version:
            version = await _find_earned(work, structs.replace(context, campaign_version=other, event=event))
        if version is None:
            continue
        found = structs.replace(context, campaign_version=version, event=event)
        if rival := await work.compute(_weigh, found, is_asked=version is campaign_version):
            yield rival


def _weigh(context: EventContext, *, is_asked: bool) -> Rival | None:
    """The campaign with what it would give; None where that is nothing."""
    event, version = context.event, context.campaign_version
    worth = value_rewards(event, version, context.user, context.cohorts)
    if worth.refused and not is_asked:
        return None
    try:
        charges = list_charges(event, version, worth.values, context.user, context.cohorts)
    except RuleError:
        return None
    return Rival(version, worth.values, charges)


async def _find_earned(work: UnitOfWork, context: EventContext) -> CampaignVersion | None:
    """The version of a campaign that the event would earn; None where it earns nothing."""
    connection, caller = work.connection, work.caller
    versions = [
        structs.replace(context, campaign_version=each)
        for each in (context.campaign_version, *context.campaign_version.retained)
    ]
    if not await work.compute(lambda: any(map(_is_met, versions))):
        return None
    if context.campaign_version.campaign.quest:
        context = await know_opening(connection, caller, context)
        quest_event, user_id = await work.compute(build_quest_event, context), context.event.user_id
        known = await find_instances(connection, caller, context.campaign_version.campaign_id, user_id, quest_event)
        trial = await work.compute(try_quest, context, quest_event, known)
        if not trial.completes:
            return None
        context = trial.context
    return context.campaign_version if await work.compute(_is_met, context) else None


def _is_met(context: EventContext) -> bool:
    return is_earned(context, datetime.now(UTC))


def _find_winner(
    campaign_version: CampaignVersion, rivals: Sequence[Rival], used: Mapping[CounterKey, Counter]
) -> str | None:
    counters = {charge.counter: used.get(charge.counter, Counter(0, 0)) for r in rivals for charge in r.charges}
    winners = Winners()
    for rival in rank(rivals):
        winner = winners.find(rival.campaign_version)
        if rival.campaign_version is campaign_version:
            return winner
        if winner is None and weigh(rival.charges, counters)[1] is None:
            take(rival.charges, counters)
            winners.add(rival.campaign_version)
    return None
