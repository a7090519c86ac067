"""What an order does to a campaign: the state it goes into, and its schedule."""

from datetime import datetime, timedelta
from typing import Literal

from msgspec.structs import replace

from fillip.core.campaign.campaign import LIFE_CYCLE, Campaign, CampaignState, Schedule
from fillip.core.errors import Retry
from fillip.http.errors import Conflict, Invalid
from fillip.manage.campaign.definition import read_definition
from fillip.manage.campaign.postgres import CampaignRow

LONGEST_BACKFILL = timedelta(days=1_100)
Order = Literal["shadow", "withdraw", "launch", "pause", "resume", "end", "archive"]


def find_next(row: CampaignRow, campaign: Campaign, order: Order) -> CampaignState:
    """The state that an order puts a campaign into, as of now; raises Conflict where it is not possible."""
    state = LIFE_CYCLE.get((row.shown, order))
    if state is None:
        possible = ", ".join(name for at, name in LIFE_CYCLE if at == row.shown) or "nothing"
        raise Conflict(f"campaign '{row.campaign_id}' is {row.shown}: '{order}' is not possible, only {possible}")
    starts_at, ends_at = campaign.schedule.starts_at, campaign.schedule.ends_at
    if state not in ("shadow", "running") or row.clock != "live":
        return state
    if order in ("shadow", "launch") and ends_at and ends_at < row.now:
        raise Conflict(f"campaign '{row.campaign_id}' ended on {ends_at.isoformat()} by its schedule: change it first")
    if state == "shadow":
        return state
    return "scheduled" if starts_at and starts_at > row.now else "running"


def check_backfill(since: datetime, order: Order, campaign: Campaign, row: CampaignRow, *, is_set_up: bool) -> None:
    """Raise Invalid where a campaign can't be launched as of `since`; Retry where nothing here could tell the past."""
    if order != "launch":
        raise Invalid("only a launch takes a body", at="/backfill_from")
    if not is_set_up:
        raise Retry("backfills are not set up here: the operator sets FILLIP_ANALYSE_KEY")
    if since > row.now:
        raise Invalid("must not lie in the future", at="/backfill_from")
    if row.now - since > LONGEST_BACKFILL:
        raise Invalid(f"must not lie more than {LONGEST_BACKFILL.days} days back", at="/backfill_from")
    if campaign.schedule.starts_at not in (None, since):
        told = campaign.schedule.starts_at.isoformat()
        raise Invalid(f"the schedule starts at {told}: leave starts_at out, or give the same", at="/backfill_from")


def plan_launch(campaign: Campaign, row: CampaignRow, now: datetime) -> Campaign:
    """The campaign as it is launched `now`: where it does not say when it starts, in this second.

    Not of a tenant whose clock is `history`: what it is sent is of the past.
    """
    return _start_as(campaign, Schedule(starts_at=now.replace(microsecond=0) if row.clock == "live" else None))


def keep_start(campaign: Campaign, row: CampaignRow) -> Campaign:
    """The next version of a launched campaign: where it does not say when it starts, as the one before does."""
    return _start_as(campaign, read_definition(row).schedule)


def _start_as(campaign: Campaign, other: Schedule) -> Campaign:
    schedule = campaign.schedule
    start = {"starts_at": other.starts_at, "starts_on": other.starts_on}
    return campaign if schedule.starts_at else replace(campaign, schedule=replace(schedule, **start))


def plan_end(campaign: Campaign, now: datetime) -> Campaign:
    """The campaign with its schedule ended at `now`, unless it ends before."""
    ends_at = campaign.schedule.ends_at
    if ends_at and ends_at <= now:
        return campaign
    return replace(campaign, schedule=replace(campaign.schedule, ends_at=now, ends_on=None))
