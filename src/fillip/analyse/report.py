"""What can be asked of the Analytics Bay."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Protocol

from msgspec import Meta, Struct

from fillip.analyse.burn import BurnQuestion, LimitBurn, LimitHour, LimitHoursQuestion
from fillip.analyse.facts import Load, Mark, Position
from fillip.analyse.funnel import FunnelQuestion, QuestFunnel
from fillip.analyse.level import LevelDay
from fillip.analyse.liability import ExpiryQuestion, Liability, LiabilityExpiry, LiabilityMovement, LiabilityQuestion
from fillip.analyse.spend import Spend
from fillip.analyse.times import CampaignTimes
from fillip.analyse.uplift import UpliftQuestion
from fillip.stream.topics import Partition


class Question(Struct, frozen=True):
    """A tenant's days `first`..`last`, both included, perhaps of one campaign; up to `count` lines after `after`."""

    tenant_id: str
    first: date
    last: date
    campaign_id: str | None
    count: int
    after: tuple[date, str]


class CampaignDay(Struct, frozen=True):
    """A campaign on one day of the tenant's calendar (event time).

    `granted` and `denied` (by reason) count decisions, `issued` incentives: a grant may issue several. `unique_users`
    are those granted something that day. `shadow_spend` is what those denied as `shadow` would have been given, before limits
    and conflicts; nothing of it is `reversed`.
    """

    day: date
    campaign_id: str
    granted: int
    issued: int
    denied: dict[str, int]
    spend: list[Spend]
    unique_users: int
    shadow_spend: list[Spend]


class CampaignVariant(Struct, frozen=True):
    """A variant of a campaign over some days of the tenant's calendar (event time).

    `users` are those whose events met the campaign, `unique_users` those granted something; of a quest, which decides
    when it is completed, `users` are of a control all who did a step, else who completed it. The others are as by day.
    """

    variant: str
    users: int
    granted: int
    issued: int
    denied: dict[str, int]
    spend: list[Spend]
    unique_users: int


class RejectionDay(Struct, frozen=True):
    """Events refused on one UTC day (broker time) for one reason."""

    day: date
    reason: str
    count: int


class Watermark(Struct, frozen=True):
    """When the ledger committed the newest that the reports hold of the tenant; null where they hold nothing of it."""

    committed_at: Annotated[datetime, Meta(tz=True)] | None


class Bay(Protocol):
    """The facts. A load is done whole or not at all; calls raise Retry when the disk is full or memory short."""

    async def read_positions(self) -> Mapping[Partition, Position]:
        """How far each partition is loaded."""
        ...

    async def read_mark(self, tenant_id: str) -> Mark | None:
        """The newest that is loaded of a tenant; None where there is nothing of it."""
        ...

    async def load(self, load: Load) -> None:
        """Add facts and move the positions, in one transaction."""
        ...

    async def report_campaign_days(self, question: Question) -> Sequence[CampaignDay]:
        """Lines in the order of (day, campaign)."""
        ...

    async def report_campaign_variants(self, question: Question) -> Sequence[CampaignVariant]:
        """All lines of the campaign in the order of the variants; who is in none is left out."""
        ...

    async def report_rejection_days(self, question: Question) -> Sequence[RejectionDay]:
        """Lines in the order of (day, reason); `after` is (day, reason)."""
        ...

    async def report_level_days(self, question: Question, zone: str) -> Sequence[LevelDay]:
        """Lines in the order of (day, currency), by days of this time zone; `after` is (day, currency). Of no campaign."""
        ...

    async def report_campaign_times(self, question: Question) -> Sequence[CampaignTimes]:
        """Lines in the order of (day, campaign)."""
        ...

    async def read_time_zone(self, tenant_id: str) -> str | None:
        """The IANA name of a tenant's zone; None where nothing of the tenant is loaded."""
        ...

    async def report_limit_burn(self, question: BurnQuestion) -> Sequence[LimitBurn]:
        """How fast limits are used up, in the order of (limit, key)."""
        ...

    async def report_limit_hours(self, question: LimitHoursQuestion) -> Sequence[LimitHour]:
        """What was used of a limit, hour by hour; hours without anything are left out."""
        ...

    async def report_liability(self, question: LiabilityQuestion) -> Sequence[Liability]:
        """What is outstanding at `end`, in the order of currencies."""
        ...

    async def report_liability_movements(self, question: LiabilityQuestion) -> Sequence[LiabilityMovement]:
        """How that came between `begin` and `end`, in the order of currencies."""
        ...

    async def report_liability_expiries(self, question: ExpiryQuestion) -> Sequence[LiabilityExpiry]:
        """By when that expires, in the order of (currency, expires); lines of 0 are left out."""
        ...

    async def report_quest_funnel(self, question: FunnelQuestion) -> Sequence[QuestFunnel]:
        """How far instances of a quest have come, in the order of versions."""
        ...

    async def is_of_quest(self, question: UpliftQuestion) -> bool:
        """Whether the campaign has granted as a quest."""
        ...

    async def report_spend(self, question: UpliftQuestion) -> Mapping[str | None, Sequence[Spend]]:
        """What the campaign gave on those days, by variant."""
        ...

    async def write_met(self, question: UpliftQuestion, folder: Path) -> Mapping[str, str]:
        """Write who met the campaign to a file in `folder`, and the question to another; the files by name, see
        uplift_groups.sql.
        """
        ...
