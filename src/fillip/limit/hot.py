"""What a worker has counted of campaigns and their users and not told Valkey yet; and what it knows of the present window."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from prometheus_client import Counter as Metric
from prometheus_client import Gauge

from fillip.core.event import Rejection
from fillip.core.ledger.settlement import Settled
from fillip.core.match.candidate import Match

MOST_CAMPAIGNS, MOST_USERS = 10_000, 2_000
"""Of a tenant, counted from one telling to the next: as many campaigns as it may have, and (hot campaign, user)."""

MOST_KEPT = 1_000
"""Users of a hot campaign that are kept in a window."""

MOST_SEEN, MOST_SAMPLED = 100_000, 10_000
"""Campaigns of all tenants that the gauges go by."""

CampaignKey: TypeAlias = tuple[str, str]
"""(tenant, campaign)."""

UNTOLD = Metric(
    "fillip_limit_hot_untold_total",
    "Campaigns and users of hot ones whose counts were lost: Valkey away, or too many of a tenant",
    ["why"],
)
HOT_RATIO = Gauge("fillip_limit_campaign_hot_ratio", "Hot campaigns among those that events met in this window")
FALSE_POSITIVE_RATE = Gauge(
    "fillip_limit_cms_false_positive_rate",
    "Share of the sampled campaigns below the threshold that the sketch has over it, in this window",
)


class Tally:
    """What was counted since the last telling: events that met campaigns, and decisions on users of hot ones."""

    def __init__(self) -> None:
        self.met: dict[str, Counter[str]] = {}
        self.users: dict[str, Counter[tuple[str, str]]] = {}

    def count_met(self, items: Iterable[Match | Rejection]) -> None:
        """Count the campaigns that these events meet, by tenant."""
        for item in items:
            if isinstance(item, Match):
                counts = self.met.setdefault(item.event.tenant_id, Counter())
                for candidate in item.candidates:
                    campaign_id = candidate.campaign_version.campaign_id
                    if campaign_id in counts or len(counts) < MOST_CAMPAIGNS:
                        counts[campaign_id] += 1
                    else:
                        UNTOLD.labels("tenant_has_many").inc()

    def count_settled(self, settled: Iterable[Settled], hot: Mapping[CampaignKey, int]) -> None:
        """Count the decisions of `hot` campaigns, by tenant as (campaign, user)."""
        for each in settled:
            tenant_id, user_id = each.request.user
            campaign_id = each.request.campaign_version.campaign_id
            if (tenant_id, campaign_id) in hot:
                counts = self.users.setdefault(tenant_id, Counter())
                if (campaign_id, user_id) in counts or len(counts) < MOST_USERS:
                    counts[campaign_id, user_id] += 1
                else:
                    UNTOLD.labels("tenant_has_many").inc()


class WindowView:
    """What one worker knows of the present window: campaigns met and hot, and how the sketch does on the sample."""

    def __init__(self) -> None:
        self.hot: dict[CampaignKey, int] = {}
        """Until when (Unix seconds) a campaign is hot."""
        self._number = -1
        self._met: set[CampaignKey] = set()
        self._sampled: dict[CampaignKey, tuple[int, int]] = {}

    def enter(self, number: int, now_s: float) -> None:
        """Begin another window where it has come, and forget what has cooled down."""
        if number != self._number:
            self._number = number
            self._met.clear()
            self._sampled.clear()
        for key in [key for key, cool_at in self.hot.items() if cool_at <= now_s]:
            del self.hot[key]

    def note_met(self, tenant_id: str, campaign_ids: Iterable[str]) -> None:
        """These were met in this window."""
        if len(self._met) < MOST_SEEN:
            self._met.update((tenant_id, campaign_id) for campaign_id in campaign_ids)

    def note_sample(self, key: CampaignKey, estimate: int, truth: int) -> None:
        """The sketch has `estimate` events for a campaign that truly met `truth`, of all workers."""
        if key in self._sampled or len(self._sampled) < MOST_SAMPLED:
            self._sampled[key] = (estimate, truth)

    def show(self, threshold: int) -> None:
        """Set the gauges."""
        HOT_RATIO.set(sum(key in self._met for key in self.hot) / max(1, len(self._met)))
        cold = [estimate for estimate, truth in self._sampled.values() if truth < threshold]
        FALSE_POSITIVE_RATE.set(sum(estimate >= threshold for estimate in cold) / max(1, len(cold)))


def split_users(counts: Mapping[tuple[str, str], int]) -> dict[str, list[tuple[str, int]]]:
    """(user, decisions) by campaign, of counts by (campaign, user)."""
    found: dict[str, list[tuple[str, int]]] = {}
    for (campaign_id, user_id), count in counts.items():
        found.setdefault(campaign_id, []).append((user_id, count))
    return found


def merge_users(windows: Sequence[Mapping[str, int]], most: int) -> tuple[dict[str, int], int]:
    """The counts of several windows added up, and by how much one may be too high: `most` users a window were kept."""
    counts: Counter[str] = Counter()
    for window in windows:
        counts.update(window)
    over = sum(min(window.values()) for window in windows if len(window) >= most)
    return dict(counts), over
