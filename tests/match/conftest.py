"""A tenant's book as the control plane writes it, and the worker's view of it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import asyncpg
import psycopg
import pytest
from msgspec import json
from pyroaring import BitMap

from fillip.core.book.book import Book
from fillip.core.campaign.campaign import Campaign
from fillip.core.campaign.vocabulary import TypeContext
from fillip.core.cohort import CHUNK_BITS, NOBODY, find_changed
from fillip.core.event import Event
from fillip.core.match.candidate import Match
from fillip.core.schema.types import EMPTY, Field, Kind, ListOf, ObjectType, Scalar, derive_type
from fillip.manage.campaign.expressions import check_expression
from fillip.match import Meet
from fillip.match.numbers_postgres import PostgresNumbers
from fillip.match.postgres import PostgresBooks
from fillip.match.refusals import Reason
from fillip.match.users_postgres import PostgresUsers
from fillip.migrations import role_dsn
from tests.builders import T0, build_event

BUY = {"type": "object", "properties": {"amount": {"type": "integer"}, "coupon": {"type": "string"}}}
USER = {"type": "object", "properties": {"tier": {"type": "string"}}}


@dataclass
class Shop:
    """Writes campaigns, users and cohorts of tenant acme, and meets events with them."""

    owner: psycopg.Connection
    pool: asyncpg.Pool
    refusals: dict[Reason, int] = field(default_factory=dict)
    lists: ObjectType = EMPTY
    version: int = 0
    numbers: dict[str, int] = field(default_factory=dict)
    members: dict[str, BitMap] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.books = PostgresBooks(self.pool)
        self._meet = Meet(
            PostgresUsers(self.pool), PostgresNumbers(self.pool), lambda refusals: self.refusals.update(refusals.tell())
        )

    def launch(self, campaign_id: str, rule: str = "true", *, state: str = "running", **more: Any) -> None:
        """A SIMPLE campaign on BUY, type-checked as at saving."""
        self.owner.execute(
            "INSERT INTO campaign (tenant_id, campaign_id, state, version) VALUES ('acme', %s, %s, 1)",
            (campaign_id, state),
        )
        self._store(campaign_id, rule, **more)

    def change(self, campaign_id: str, rule: str = "true", *, keep: bool = False, **more: Any) -> None:
        """Its next version; `keep` leaves the one before in force."""
        self.owner.execute(
            "UPDATE campaign SET version = version + 1, kept = CASE WHEN %s THEN kept || version ELSE '{}' END"
            " WHERE campaign_id = %s",
            (keep, campaign_id),
        )
        self._store(campaign_id, rule, **more)

    def _store(self, campaign_id: str, rule: str, **more: Any) -> None:
        given = {"kind": "SIMPLE", "name": campaign_id, "action": "BUY", "rule": rule, "rewards": [{"kind": "badge"}]}
        campaign = json.decode(json.encode(given | more), type=Campaign)
        types = TypeContext({"BUY": derive_type(BUY)}, derive_type(USER), self.lists)
        checked = {each.path: check_expression(each, types) for each in campaign.expressions}
        self.owner.execute(
            "INSERT INTO campaign_version (tenant_id, campaign_id, version, definition, checked)"
            " SELECT tenant_id, campaign_id, version, %s, %s FROM campaign WHERE campaign_id = %s",
            (json.encode(campaign).decode(), json.encode(checked).decode(), campaign_id),
        )

    def fill(self, list_id: str, *items: str) -> None:
        """Make these the items of a list of strings, in the next version of the book."""
        self.version += 1
        self.owner.execute("UPDATE tenant SET book_version = %s", [self.version])
        self.owner.execute(
            "INSERT INTO named_list VALUES ('acme', %s, 'L', 'string', %s, %s) ON CONFLICT (tenant_id, list_id)"
            " DO UPDATE SET version = excluded.version",
            [list_id, self.version, len(items)],
        )
        row = [list_id, self.version, json.encode(items).decode()]
        self.owner.execute("INSERT INTO named_list_version VALUES ('acme', %s, %s, %s)", row)
        known = [part for part in self.lists.fields if part.name != list_id]
        self.lists = ObjectType((*known, Field(list_id, ListOf(Scalar(Kind.STRING, nullable=False), 10_000))))

    def enrol(self, cohort_id: str, *users: str) -> None:
        """Make these the users of a cohort, in the next version of the book."""
        self.version += 1
        self.owner.execute("UPDATE tenant SET book_version = %s", [self.version])
        members = BitMap(self.number(user_id) for user_id in users)
        row = self.owner.execute(
            "INSERT INTO cohort (tenant_id, cohort_id, name, version, size) VALUES ('acme', %s, 'C', %s, %s)"
            " ON CONFLICT (tenant_id, cohort_id) DO UPDATE SET version = excluded.version, size = excluded.size"
            " RETURNING content_id",
            [cohort_id, self.version, len(users)],
        ).fetchone()
        assert row
        for chunk, octets in find_changed(self.members.get(cohort_id, NOBODY), members).items():
            self.owner.execute(
                "UPDATE cohort_chunk SET until = %s, left_at = now() WHERE content_id = %s AND chunk = %s AND until IS NULL",
                [self.version, row[0], chunk],
            )
            self.owner.execute(
                "INSERT INTO cohort_chunk (tenant_id, content_id, chunk, version, members) VALUES ('acme', %s, %s, %s, %s)",
                [row[0], chunk, self.version, octets],
            )
        self.members[cohort_id] = members

    def number(self, user_id: str) -> int:
        """The number of a user, who gets one where there is none; each in a chunk of its own."""
        if user_id not in self.numbers:
            self.numbers[user_id] = len(self.numbers) << CHUNK_BITS
            self.owner.execute("INSERT INTO user_number VALUES ('acme', %s, %s)", [user_id, self.numbers[user_id]])
            self.owner.execute(
                "INSERT INTO user_numbering VALUES ('acme', 1) ON CONFLICT (tenant_id) DO UPDATE SET numbered = %s",
                [self.numbers[user_id] + 1],
            )
        return self.numbers[user_id]

    async def book(self) -> Book:
        """What the worker decides under now."""
        book = (await self.books.pin(["acme"]))["acme"]
        assert isinstance(book, Book), book
        return book

    async def event(self, user_id: str = "u1", *, after: timedelta = timedelta(), **attributes: Any) -> Event:
        """A BUY under the newest book."""
        book = await self.book()
        typed = book.actions["BUY"].read(attributes, T0 + after)
        return build_event(book, user_id=user_id, at=T0 + after, received_at=T0, attributes=attributes, typed=typed)

    async def meet(self, events: Sequence[Event]) -> list[Match]:
        """What these meet; an event is never rejected here."""
        met = await self._meet(events)
        matches = [item for item in met if isinstance(item, Match)]
        assert len(matches) == len(met)
        return matches

    async def meets(self, user_id: str = "u1", **attributes: Any) -> list[str]:
        """The campaigns that such an event meets."""
        matches = await self.meet([await self.event(user_id, **attributes)])
        return [candidate.campaign_version.campaign_id for match in matches for candidate in match.candidates]


@pytest.fixture
async def book_shop(database: str) -> AsyncIterator[Shop]:
    """Tenant acme with action BUY and users that have a tier."""
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(
            "INSERT INTO tenant (tenant_id, name, time_zone, currency, clock, user_schema)"
            " VALUES ('acme', 'Acme', 'UTC', 'USD', 'live', %s)",
            (json.encode(USER).decode(),),
        )
        owner.execute(
            "INSERT INTO action (tenant_id, name, schema) VALUES ('acme', 'BUY', %s)", (json.encode(BUY).decode(),)
        )
        async with asyncpg.create_pool(role_dsn(database, "fillip_worker"), min_size=1, max_size=4) as pool:
            yield Shop(owner, pool)
