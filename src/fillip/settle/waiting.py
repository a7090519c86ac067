"""Events that wait: those of a quest whose backfill is still at the past. It decides them behind that, in their order. Pure."""

from collections.abc import Collection, Sequence
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.by_hand import GRANT
from fillip.core.match.candidate import Match, is_barred
from fillip.core.repair import REPAIR

CampaignKey = tuple[str, str]
"""(tenant, campaign)"""


class WaitingRow(Struct, frozen=True, gc=False):
    """Of backfill_waiting."""

    tenant_id: str
    campaign_id: str
    event_key: UUID


class Handovers:
    """Which campaigns the ledger is to be asked about; one that workers decide, they decide for good."""

    def __init__(self) -> None:
        self._over: set[CampaignKey] = set()

    def list_asked(self, matches: Sequence[Match]) -> list[CampaignKey]:
        """Those that these events meet, and that had a backfill at work when the book was read; mostly none."""
        asked = {
            (match.event.tenant_id, candidate.campaign_version.campaign_id)
            for match in matches
            if match.event.book.backfilling
            for candidate in match.candidates
            if candidate.campaign_version.campaign_id in match.event.book.backfilling
        }
        return sorted(asked - self._over)

    def keep(self, asked: Collection[CampaignKey], backfilling: Collection[CampaignKey]) -> None:
        """Remember what the ledger said."""
        self._over.update(set(asked).difference(backfilling))


def put_off(
    matches: Sequence[Match], backfilling: Collection[CampaignKey]
) -> tuple[Sequence[Match], Sequence[WaitingRow]]:
    """The matches without the candidates of these campaigns, and what waits for them, in order.

    What is denied whatever else stands does not wait, nor what is granted by hand, which moves no quest, nor a repair: an operator asks
    for it, who is told to wait (see manage.api.repairs).
    """
    if not backfilling:
        return matches, ()
    left: list[Match] = []
    waiting: list[WaitingRow] = []
    for match in matches:
        event, now = match.event, []
        for candidate in match.candidates:
            campaign = event.tenant_id, candidate.campaign_version.campaign_id
            asked = event.action in (GRANT, REPAIR)
            if campaign in backfilling and not asked and not is_barred(event, candidate.campaign_version):
                waiting.append(WaitingRow(*campaign, event.key))
            else:
                now.append(candidate)
        left.append(match if len(now) == len(match.candidates) else replace(match, candidates=now))
    return left, waiting
