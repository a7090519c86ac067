"""Events that meet campaigns, and decisions on them, in whatever numbers a test wants; and what a sketch then holds."""

from collections.abc import Iterable, Mapping
from functools import cache
from struct import unpack
from typing import Any
from uuid import UUID

from redis.asyncio import Redis

from fillip.core.hot import HotTerms
from fillip.core.ledger.decision import Decision
from fillip.core.ledger.settlement import GrantRequest, Settled
from fillip.core.match.candidate import Candidate, Match
from fillip.core.projection import name_sketch
from fillip.core.sketch import find_cells
from tests.builders import T0, build_book, build_campaign, build_event, build_tenant, build_version

CAMPAIGN = build_campaign()


def meet(tenant_id: str, campaign_ids: Iterable[str]) -> Match:
    """One event that meets each of these as often as it is named."""
    event = build_event(build_book(tenant=build_tenant(tenant_id=tenant_id)))
    return Match(event, [*map(build_candidate, campaign_ids)])


@cache
def build_candidate(campaign_id: str) -> Candidate:
    """A campaign of this id that is met."""
    return Candidate(build_version(campaign_id, CAMPAIGN))


def decide(tenant_id: str, campaign_id: str, user_ids: Iterable[str]) -> list[Settled]:
    """A grant of a campaign on each of these users."""
    version, book = build_version(campaign_id, CAMPAIGN), build_book(tenant=build_tenant(tenant_id=tenant_id))
    decision = Decision(UUID(int=1), "granted", "granted", (), T0.date(), T0)
    matches = [Match(build_event(book, user_id=user_id), ()) for user_id in user_ids]
    return [Settled(GrantRequest(match, version, (), (), {}), decision) for match in matches]


async def read_estimates(
    client: Redis, tenant_id: str, terms: HotTerms, number: int, names: Iterable[str]
) -> Mapping[str, int]:
    """What the sketch of a window says of each name."""
    cells: Any = await client.get(name_sketch(tenant_id, terms, number))
    counts = unpack(f">{terms.shape.cells}I", cells)
    return {name: min(counts[cell] for cell in find_cells(name, terms.shape)) for name in names}
