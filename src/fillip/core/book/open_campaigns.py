"""Which campaigns of a book are open to all its users, known for as long as no schedule begins or ends."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from fillip.core.book.version import CampaignVersion
from fillip.core.campaign.campaign import REFUSING
from fillip.core.instant import add_span

_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_TICK = timedelta(microseconds=1)


class OpenCampaigns:
    """The campaigns in the order in which they are given. Immutable except for its cache.

    In `others` state, cohorts, variants or hours of the week have to be asked, of each user or instant.
    """

    def __init__(self, campaign_versions: Sequence[CampaignVersion]) -> None:
        self.others = tuple(each for each in campaign_versions if _asks(each))
        self._timed = [(each, *_find_times(each)) for each in campaign_versions if not _asks(each)]
        self._known: tuple[datetime, datetime, Mapping[str, CampaignVersion]] = _LAST, _FIRST, {}

    def find(self, at: datetime) -> Mapping[str, CampaignVersion]:
        """Those, by id, of the campaigns that are not among the `others` that are open at an instant; 1 µs each where a schedule has begun
        or ended since it was asked last.
        """
        since, until, found = self._known
        if not since <= at <= until:
            since, until, found = self._known = self._find(at)
        return found

    def _find(self, at: datetime) -> tuple[datetime, datetime, Mapping[str, CampaignVersion]]:
        """What is open, and the first and last instant at which the same is."""
        firsts, lasts = [first for _, first, _ in self._timed], [last for _, _, last in self._timed]
        since = max(
            [_FIRST, *(first for first in firsts if first <= at), *(last + _TICK for last in lasts if last < at)]
        )
        until = min(
            [_LAST, *(first - _TICK for first in firsts if first > at), *(last for last in lasts if last >= at)]
        )
        return since, until, {each.campaign_id: each for each, first, last in self._timed if first <= at <= last}


def _asks(campaign_version: CampaignVersion) -> bool:
    campaign = campaign_version.campaign
    return bool(
        campaign_version.state in REFUSING or campaign.cohorts or campaign.variants or campaign.schedule.recurring
    )


def _find_times(campaign_version: CampaignVersion) -> tuple[datetime, datetime]:
    return campaign_version.campaign.schedule.starts_at or _FIRST, find_last(campaign_version)


def find_last(campaign_version: CampaignVersion) -> datetime:
    """The last instant at which anybody can begin: the campaign's end, or that of the window which all users of its quest share."""
    schedule, quest = campaign_version.campaign.schedule, campaign_version.campaign.quest
    last = schedule.ends_at or _LAST
    if quest and quest.window_s is not None and quest.start.at == "campaign" and schedule.starts_at:
        return min(last, add_span(schedule.starts_at, quest.window_s))
    return last
