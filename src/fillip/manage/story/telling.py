"""Puts the story of an event together: what was decided, and a page of the campaigns that look at its action."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from uuid import UUID

from msgspec import Struct, structs

from fillip.core.event import REVERSAL
from fillip.core.ports import Caller
from fillip.core.repair import REPAIR, read_repair
from fillip.http import cursor as cursors
from fillip.manage.explain.answer import EventAnswer
from fillip.manage.explain.postgres import ExplainedEvent
from fillip.manage.request.route import UnitOfWork
from fillip.manage.store.postgres import Connection
from fillip.manage.story import postgres
from fillip.manage.story.answer import (
    CampaignsTold,
    CampaignTold,
    DecisionTold,
    RefusalAnswer,
    RejectionTold,
    StoryAnswer,
)
from fillip.manage.story.finding import FoundEvent
from fillip.manage.story.record import EventDecision, QuestTraces
from fillip.manage.story.told import CampaignFacts, read_campaigns, tell_campaigns

PORTION = 10
"""Campaigns that are explained at once: between portions other tenants have their turns."""


class _Looked(Struct, frozen=True):
    """What the ledger says of an event in the log; `recorded` is a decision that has the user's attributes, if any."""

    book_version: int
    as_of_decision: bool
    decisions: Sequence[EventDecision] = ()
    reversals: Sequence[str] = ()
    facts: Sequence[CampaignFacts] = ()
    total: int = 0
    last: str | None = None
    recorded: EventDecision | None = None


async def tell_story(work: UnitOfWork, found: FoundEvent, *, after: str, most: int) -> StoryAnswer:
    """The story, with at most so many campaigns behind the id `after`. Raises Retry."""
    looked, told = None, list[CampaignTold]()
    if found.event:
        looked = await _look(work, found, found.event, after=after, most=most)
        portions = [looked.facts[first : first + PORTION] for first in range(0, len(looked.facts), PORTION)]
        told = [*chain.from_iterable(await work.compute_each(tell_campaigns, portions, datetime.now(UTC)))]
    looked = looked or _Looked(0, as_of_decision=False)
    last = looked.last and cursors.write_cursor([looked.last])
    user_revision = looked.facts[0].context.user_revision if looked.facts else None
    return StoryAnswer(
        summary=_summarise(found, looked),
        state=found.state,
        event_source=found.name.source,
        event_id=found.name.event_id,
        event=_describe_event(found.event) if found.event else None,
        as_of="decision" if looked.as_of_decision else "now",
        book_version=looked.book_version or None,
        user_as_of="decision" if looked.recorded else "now",
        user_revision=user_revision,
        refusal=found.refusal and RefusalAnswer(**structs.asdict(found.refusal)),
        rejections=[RejectionTold.model_validate(each, from_attributes=True) for each in found.ledger.rejections],
        reversals=[*looked.reversals],
        decisions=[DecisionTold.model_validate(each, from_attributes=True) for each in looked.decisions],
        campaigns=CampaignsTold(items=told, next_cursor=last, total=looked.total),
    )


async def _look(work: UnitOfWork, found: FoundEvent, event: ExplainedEvent, *, after: str, most: int) -> _Looked:
    connection, caller = work.connection, work.caller
    pinned = found.settled and found.settled.book_version
    version = pinned or await postgres.find_book_version(connection, caller)
    looked = _Looked(version, as_of_decision=pinned is not None)
    if found.state == "waiting" or event.action == REVERSAL:
        return looked
    decisions: Sequence[EventDecision] = ()
    if found.ledger.event:
        decisions = await postgres.list_event_decisions(connection, caller, found.name.key)
        reversals = await postgres.list_reversals_of(connection, caller, found.name.key)
        looked = structs.replace(looked, decisions=decisions, reversals=reversals)
    page = await postgres.list_looking(connection, caller, event.action, version, after=after, most=most)
    if not page.newest:
        return looked
    campaigns, connection = await work.compute(read_campaigns, page), work.connection
    campaigns = await postgres.know_all_lists(connection, caller, campaigns, version)
    recorded = next((each for each in decisions if each.user_attributes is not None), None)
    context = await postgres.load_context(connection, caller, event, version, campaigns[0], recorded)
    mine, waiting, traces = await _list_recorded(connection, caller, found, [each.campaign_id for each in campaigns])
    facts = [
        CampaignFacts(
            context=structs.replace(context, campaign_version=each),
            decisions=mine.get(each.campaign_id, ()),
            traces=traces.get(each.quest_id, QuestTraces()),
            waits=each.campaign_id in waiting,
            recorded=found.ledger.event is not None,
        )
        for each in campaigns
    ]
    return structs.replace(looked, facts=facts, total=page.total, last=page.last, recorded=recorded)


async def _list_recorded(
    connection: Connection, caller: Caller, found: FoundEvent, campaign_ids: Sequence[str]
) -> tuple[Mapping[str, Sequence[EventDecision]], frozenset[str], Mapping[str, QuestTraces]]:
    """Of each campaign its decisions on the event; those whose backfill it waits for; and what it left in quests."""
    by_campaign: dict[str, list[EventDecision]] = {}
    if found.ledger.event is None:
        return by_campaign, frozenset(), {}
    key: UUID = found.name.key
    for each in await postgres.list_event_decisions(connection, caller, key, campaign_ids):
        by_campaign.setdefault(each.campaign_id, []).append(each)
    waiting = await postgres.list_waiting(connection, caller, key, campaign_ids)
    return by_campaign, waiting, await postgres.list_traces(connection, caller, key)


def _describe_event(event: ExplainedEvent) -> EventAnswer:
    return EventAnswer(
        event_id=event.event_id,
        event_source=event.source,
        user_id=event.user_id,
        action=event.action,
        occurred_at=event.occurred_at,
        received_at=event.received_at,
        attributes=event.attributes,
    )


def _summarise(found: FoundEvent, looked: _Looked) -> str:
    event = found.event
    if event is None:
        if found.ledger.rejections:
            return f"It was rejected: {found.ledger.rejections[0].detail}."
        return f"It was refused at the door: {found.refusal.detail if found.refusal else ''}."
    what = f"{event.user_id}'s {event.action}"
    if found.state == "waiting":
        return f"{what} is in the log, and has not been looked at yet: ask again in a moment."
    if event.action == REVERSAL:
        return f"{event.user_id}'s reversal: GET /v1/reversals/{found.name.event_id} tells what came of it."
    if not looked.decisions and event.action == REPAIR and found.state == "decided":
        order = read_repair(event.attributes)
        return f"{what} counted {order.day} for step {order.step} of {order.campaign_id}: {order.reason}."
    if not looked.decisions:
        nothing = "met no campaign" if found.state == "met_nothing" else "earned nothing yet"
        return f"{what} {nothing}: of each campaign that looks at it, the first check that fails is told."
    granted = sorted({each.campaign_id for each in looked.decisions if each.outcome == "granted"})
    return (
        f"{what} earned something from {', '.join(granted[:10])}."
        if granted
        else f"{what} was denied by all that it met."
    )
