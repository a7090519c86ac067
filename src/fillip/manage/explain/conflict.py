"""Who would win an event: the campaigns that stand against each other, tried as everything stands now."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from msgspec import structs

from fillip.core.book.version import CampaignVersion
from fillip.core.ledger.settlement import find_winner
from fillip.core.match.candidate import Candidate
from fillip.core.match.limit_charges import list_charges
from fillip.core.match.reward_values import value_rewards
from fillip.core.rule import RuleError
from fillip.manage.explain import postgres
from fillip.manage.explain.answer import Check
from fillip.manage.explain.checks import EventContext, describe_conflict, is_earned
from fillip.manage.explain.quest_trial import build_quest_event, try_quest
from fillip.manage.named_list.postgres import find_key_lists, read_lists
from fillip.manage.request.route import UnitOfWork


async def check_conflict_now(work: UnitOfWork, context: EventContext) -> Check:
    """Whether another campaign would win the event."""
    if not await postgres.may_collide(work.connection, work.caller, context.campaign_version):
        return describe_conflict(None)
    candidates = [candidate async for candidate in _find_candidates(work, context)]
    candidates.sort(
        key=lambda candidate: (-candidate.campaign_version.campaign.priority, candidate.campaign_version.campaign_id)
    )
    charges = [charge for candidate in candidates for charge in candidate.charges]
    counters = await postgres.read_charged(work.connection, charges)
    return describe_conflict(find_winner(context.campaign_version, candidates, counters))


async def _find_candidates(work: UnitOfWork, context: EventContext) -> AsyncIterator[Candidate]:
    connection, caller = work.connection, work.caller
    campaign_version, event = context.campaign_version, context.event
    others = await postgres.list_others(connection, caller, campaign_version.campaign_id, event.action)
    campaign_versions = [campaign_version, *others]
    standing = [*await postgres.list_limits(connection, caller), *postgres.list_limits_to_come(campaign_version)]
    limits = {limit.limit_id: limit for limit in standing}
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
        if candidate := await work.compute(_weigh, found, is_asked=version is campaign_version):
            yield candidate


def _weigh(context: EventContext, *, is_asked: bool) -> Candidate | None:
    """The campaign with what it would give; None where that is nothing."""
    event, version = context.event, context.campaign_version
    worth = value_rewards(event, version, context.user, context.cohorts)
    if worth.refused and not is_asked:
        return None
    try:
        charges = list_charges(event, version, worth.values, context.user, context.cohorts)
    except RuleError:
        return None
    return Candidate(version, charges, worth.values)


async def _find_earned(work: UnitOfWork, context: EventContext) -> CampaignVersion | None:
    """The version of a campaign that the event would earn; None where it earns nothing."""
    views = context.views
    if not await work.compute(lambda: any(map(_is_met, views))):
        return None
    if context.campaign_version.campaign.quest:
        context = await postgres.know_opening(work.connection, work.caller, context)
        quest_event = await work.compute(build_quest_event, context)
        quest_id, user_id = context.campaign_version.quest_id, context.event.user_id
        known = await postgres.find_instances(work.connection, work.caller, quest_id, user_id, quest_event)
        trial = await work.compute(try_quest, context, quest_event, known)
        if not trial.completes:
            return None
        context = trial.context
    return context.campaign_version if await work.compute(_is_met, context) else None


def _is_met(context: EventContext) -> bool:
    return is_earned(context, datetime.now(UTC))
