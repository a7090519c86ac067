"""The past as a backtest reads it: events, and what other campaigns were granted for them."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from fillip.core.book.book import Book, index_triggers
from fillip.core.book.version import CampaignVersion
from fillip.core.campaign.campaign_limit import is_of_definition
from fillip.core.repair import REPAIR

_INSTANT = timedelta(microseconds=1)


class Mark(Struct, frozen=True, order=True, forbid_unknown_fields=True):
    """Where an event stands in the order of receipt."""

    received_at: Annotated[datetime, Meta(tz=True)]
    partition: int
    log_offset: int


class PastGrant(Struct, frozen=True):
    """A campaign that was granted for an event, and what its rewards came to."""

    campaign_id: str
    value: int


def build_past_book(book: Book, asked: CampaignVersion, first: datetime, until: datetime) -> Book:
    """The book with this version alone, as if it had been running from `first` until before `until`, whatever its state and
    schedule are, under the limits of its definition.
    """
    campaign = replace(
        asked.campaign, schedule=replace(asked.campaign.schedule, starts_at=first, ends_at=until - _INSTANT)
    )
    running = replace(asked, state="running", campaign=campaign, retained=())
    versions = {asked.campaign_id: running}
    apart = {n: limit for n, limit in book.limits.items() if not is_of_definition(n)}
    mine = {n: limit for n, limit in apart.items() if limit.campaign_id in (None, asked.campaign_id)}
    mine |= {limit.limit_id: limit for limit in asked.limits}
    return replace(
        book, campaign_versions=versions, by_action=index_triggers([running], {}, book.tenant.time_zone), limits=mine
    )


def list_actions(versions: Iterable[CampaignVersion]) -> list[str]:
    """The actions whose events may concern these versions of a campaign."""
    return sorted({each.action for version in versions for each in version.campaign.expressions if each.is_rule})


def list_replayed(versions: Sequence[CampaignVersion]) -> list[str]:
    """The actions of these and, where one has streaks, what repairs them."""
    quests = [version.campaign.quest for version in versions]
    has_streaks = any(step.streak for quest in quests if quest for step in quest.steps)
    return [*list_actions(versions), *([REPAIR] if has_streaks else ())]
