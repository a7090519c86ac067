"""A ledger with two tenants, and words to tell stories about it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
from psycopg.rows import TupleRow

from fillip.core.book.book import Book
from fillip.core.book.version import CampaignVersion
from fillip.core.campaign.quest import Quest
from fillip.core.campaign.reward import Reward
from fillip.core.campaign.variant import Variant
from fillip.core.event import REVERSAL, Place, Rejection
from fillip.core.ledger.settlement import Settled
from fillip.core.limit import Limit
from fillip.core.match.candidate import Candidate, Match
from fillip.core.match.limit_charges import list_charges
from fillip.core.match.reward_values import ValueRefusal, value_rewards
from fillip.migrations import role_dsn
from fillip.settle import Settle
from fillip.settle.postgres import PostgresLedger
from fillip.settle.reversal.stage import SettledReversal
from fillip.stream.belt import Batch, Span
from tests.builders import T0, build_book, build_campaign, build_event, build_tenant, build_version

TOPIC = "event.received"


@dataclass
class World:
    """The ledger as the worker sees it, its owner's connection, and a log of events to settle."""

    pool: asyncpg.Pool
    owner: psycopg.Connection
    limits: dict[str, Limit] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.duplicates: list[int] = []
        """How many events of each batch had been settled before."""
        self.settle = Settle(PostgresLedger(self.pool, "test"), self._note)

    def _note(
        self,
        settled: Sequence[Settled],
        rejections: Sequence[Rejection],
        duplicates: int,
        reversals: Sequence[SettledReversal],
    ) -> None:
        self.duplicates.append(duplicates)

    def add_limit(self, limit_id: str, cap: int, **fields: Any) -> None:
        """A limit in force for tenant acme."""
        given = {"scope": "tenant", "measure": "count", "span": "lifetime"} | fields
        self.limits[limit_id] = Limit(limit_id=limit_id, cap=cap, **given)
        self.owner.execute(
            "INSERT INTO spending_limit"
            " (tenant_id, limit_id, campaign_id, scope, measure, span, week_starts_on, rolling_s, reward_kind, currency, pool, cap,"
            ' "over")'
            " VALUES ('acme', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                limit_id,
                fields.get("campaign_id"),
                *[given[k] for k in ("scope", "measure", "span")],
                *[fields.get(k) for k in ("week_starts_on", "rolling_s", "reward_kind", "currency", "pool")],
                cap,
                fields.get("over", "refuse"),
            ),
        )

    def book(self, campaign_version: CampaignVersion, clock: str = "history") -> Book:
        return build_book(campaign_version, tenant=build_tenant(clock=clock), version=7, limits=self.limits)

    def match(
        self,
        event_id: str,
        user_id: str = "u1",
        *,
        value: int = 100,
        quest: Quest | None = None,
        after: timedelta = timedelta(),
        partition: int = 0,
        steps: tuple[int, ...] = (0,),
        rewards: tuple[Reward, ...] = (),
        clock: str = "history",
        values: tuple[int, ...] = (),
        refused: ValueRefusal | None = None,
        give_back: bool = True,
        variants: tuple[Variant, ...] = (),
        source: str = "/till",
        **attributes: Any,
    ) -> Match:
        """An event that meets campaign `give`."""
        rewards = rewards or (Reward("cashback", value, "USD"),)
        campaign = build_campaign(rewards=rewards, give_back=give_back, quest=quest, variants=variants)
        campaign_version = build_version("give", campaign)
        place = Place(TOPIC, partition, self.ends.get(partition, 0))
        self.ends[partition] = place.offset + 1
        event = build_event(
            self.book(campaign_version, clock),
            event_id,
            source=source,
            user_id=user_id,
            at=T0 + after,
            attributes=attributes,
            place=place,
        )
        values = values or value_rewards(event, campaign_version, {}, frozenset()).values
        charges = () if refused else list_charges(event, campaign_version, values, {}, frozenset())
        return Match(event, [Candidate(campaign_version, charges, values, refused, steps=steps if quest else ())])

    def reversal(
        self,
        reversal_id: str,
        event_id: str,
        user_id: str = "u1",
        *,
        partition: int = 0,
        after: timedelta = timedelta(),
        source: str = "/till",
        clock: str = "history",
        **data: Any,
    ) -> Match:
        """An event that takes `event_id` back."""
        place = Place(TOPIC, partition, self.ends.get(partition, 0))
        self.ends[partition] = place.offset + 1
        campaign_version = build_version("give", build_campaign())
        event = build_event(
            self.book(campaign_version, clock),
            reversal_id,
            source=source,
            user_id=user_id,
            action=REVERSAL,
            at=T0 + after,
            attributes={"event_id": event_id} | data,
            typed={},
            place=place,
        )
        return Match(event, ())

    def batch(self, *items: Match | Rejection) -> Batch:
        """The batch that holds these, and whatever lies between them."""
        places = [item.event.place if isinstance(item, Match) else item.place for item in items]
        spans = [
            Span(
                TOPIC,
                p,
                min(x.offset for x in places if x.partition == p),
                max(x.offset for x in places if x.partition == p) + 1,
            )
            for p in sorted({place.partition for place in places})
        ]
        return Batch((), spans, T0)

    async def play(self, *items: Match | Rejection) -> None:
        """Settle these as one batch."""
        await self.settle(self.batch(*items), items)

    def rows(self, statement: str) -> list[TupleRow]:
        """What the owner reads."""
        return self.owner.execute(statement).fetchall()


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    """A fresh ledger with tenant acme, campaign give and positions at 0."""
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(Path(__file__).with_name("world.sql").read_text())
        pool = await asyncpg.create_pool(role_dsn(database, "fillip_worker"), min_size=1, max_size=4)
        try:
            yield World(pool, owner)
        finally:
            await pool.close()
