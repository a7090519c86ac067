"""What grants by hand and repairs have alike: the campaign that they ask something of, and their event before it."""

from collections.abc import Mapping
from datetime import UTC, datetime

from fillip.core.campaign.campaign import REFUSING, CampaignState
from fillip.core.ports import Caller
from fillip.http.errors import Conflict
from fillip.manage.campaign.postgres import CampaignRow, find_campaign
from fillip.manage.explain import postgres
from fillip.manage.explain.checks import EventContext
from fillip.manage.merge.postgres import share_user
from fillip.manage.request.own_event import OwnEvent
from fillip.manage.store.postgres import Connection

_CURES: Mapping[CampaignState, str] = {
    "draft": "launch it first",
    "shadow": "launch it first",
    "paused": "resume it first",
    "archived": "it grants nothing any more: take another",
}
"""What can be done about a campaign in a state in which it does nothing for whoever asks."""


async def find_launched(connection: Connection, caller: Caller, campaign_id: str) -> CampaignRow:
    """The campaign; raises NotFound, and Conflict, with the cure, where it grants nothing in its state."""
    row = await find_campaign(connection, caller, campaign_id)
    if row.shown in REFUSING:
        raise Conflict(f"campaign '{campaign_id}' is {row.shown}: {_CURES[row.shown]}", at="/campaign_id")
    return row


async def place_order(connection: Connection, caller: Caller, row: CampaignRow, own: OwnEvent) -> EventContext:
    """The event before the campaign, as it would be decided now."""
    at, user_id = datetime.now(UTC), await share_user(connection, caller, own.user_id)
    occurrence = postgres.ExplainedEvent(own.action, own.own_id, user_id, own.action, at, at, dict(own.data))
    current = await postgres.read_current_context(connection, caller, occurrence)
    return await postgres.load_current(connection, caller, row, occurrence, current)
