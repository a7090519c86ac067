"""A tenant made and changed through the API, with the documents that were in force at each version of its book."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, get_args
from uuid import uuid4

import httpx
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from fillip.manage.analyse_http import open_client
from fillip.manage.api.keys import NewKey, Scope, add_key
from fillip.manage.api.tenants import NewTenant, add_tenant
from fillip.manage.app import build_app
from fillip.manage.cohort.analyse_http import AnalyseUserQueries
from fillip.manage.key.postgres import PostgresKeyRing
from fillip.manage.store.postgres import open_engine, transaction
from fillip.manage.store.tables.tenant import tenant
from fillip.migrations import role_dsn
from tests.oracle.ids import is_held_out
from tests.oracle.ledger import SQL
from tests.oracle.merging import Merging, People
from tests.oracle.model import Book, give_start
from tests.oracle.own_events import REDEMPTION
from tests.oracle.said import USERS

ANY = {"If-Match": "*"}
MANY_CODES = 2_000
ACTIONS = {
    "BUY": {
        "type": "object",
        "required": ["amount"],
        "properties": {"amount": {"type": "integer"}, "rate": {"type": "number"}, "shop": {"type": ["string", "null"]}},
    },
    "JOIN": {"type": "object", "properties": {"shop": {"type": "string"}}},
}
ACTIONS[REDEMPTION] = {
    "type": "object",
    "required": ["code"],
    "properties": {"code": {"type": "string"}, "amount": {"type": "integer"}, "shop": {"type": ["string", "null"]}},
}
USER_SCHEMA = {"type": "object", "properties": {name: {"type": "string"} for name in ("tier", "level", "status")}}


class Hindered(Exception):
    """The API could not answer now, which says nothing of what it would have answered."""


class Plane:
    """The control plane in this process, on one database."""

    def __init__(self, dsn: str) -> None:
        self.engine, self.owner = open_engine(role_dsn(dsn, "fillip_api")), open_engine(dsn)
        keys = PostgresKeyRing(self.engine)
        self._analyse = open_client("http://127.0.0.1:1", "nobody is asked")
        self.app = build_app(
            self.engine,
            self.owner,
            "operator",
            keys,
            gateway_url="ws://127.0.0.1:1/v1/stream",
            user_queries=AnalyseUserQueries(self._analyse),  # else a launch takes no backfill
        )

    async def open_shop(self, clock: str, time_zone: str) -> "Shop":
        """A new tenant with its actions, of whose users the last one alone is in a holdout of 50 %."""
        held_out = [False] * (len(USERS) - 1) + [True]
        tenant_id = ""
        while [is_held_out(tenant_id, user, 50) for user in USERS] != held_out:
            tenant_id = f"shop-{uuid4().hex[:12]}"
        document = {"time_zone": time_zone, "currency": "EUR", "clock": clock, "user_schema": USER_SCHEMA}
        async with transaction(self.owner) as connection:
            await add_tenant(connection, NewTenant(tenant_id=tenant_id, name=tenant_id, **document))
            issued = await add_key(connection, tenant_id, NewKey(name="oracle", scopes=list(get_args(Scope))))
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),
            base_url="http://fillip",
            headers={"Authorization": f"Bearer {issued.key}"},
        )
        shop = Shop(tenant_id, client, self.owner, Book(document | {"tenant_id": tenant_id}, ACTIONS, {}))
        for name, schema in ACTIONS.items():
            await shop.call("PUT", f"/v1/actions/{name}", {"schema": schema})
        return shop

    async def close(self) -> None:
        """Let go of the connections."""
        await self._analyse.aclose()
        await self.engine.dispose()
        await self.owner.dispose()


@dataclass
class Shop:
    """One tenant. `book` is in force now; `books` by version, as workers may still see them."""

    tenant_id: str
    client: httpx.AsyncClient
    owner: AsyncEngine
    book: Book
    books: dict[int, Book] = field(default_factory=dict)
    version: int = 0
    pools: set[str] = field(default_factory=set)
    people: People = field(default_factory=People)

    async def call(self, method: str, path: str, body: object = None) -> Any:
        """One request; anything but success fails the test."""
        answer = await self.client.request(method, path, json=body, headers=ANY)
        if answer.status_code == 503:
            raise Hindered(f"{method} {path}: {answer.text}")
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def launch(self, campaign_id: str, definition: Mapping[str, Any]) -> None:
        """Make a campaign and let it run: of a live tenant from now on, unless it says since when."""
        launched_at = datetime.now(UTC).isoformat() if self.book.tenant["clock"] == "live" else None
        await self.stock(definition)
        await self.call("POST", "/v1/campaigns", {"campaign_id": campaign_id, "definition": definition})
        await self.call("POST", f"/v1/campaigns/{campaign_id}/launch")
        launched = {"state": "running", "definition": give_start(definition, launched_at), "version": 1}
        await self._note(
            campaigns={campaign_id: launched | {"written": definition}}, limits=_list_own(campaign_id, definition)
        )

    async def launch_past(self, campaign_id: str, definition: Mapping[str, Any], since: datetime) -> None:
        """Make a campaign and let it run, with a backfill of what it missed."""
        await self.stock(definition)
        await self.call("POST", "/v1/campaigns", {"campaign_id": campaign_id, "definition": definition})
        at = since.isoformat()
        await self.call("POST", f"/v1/campaigns/{campaign_id}/launch", {"backfill_from": at})
        launched = {"state": "running", "definition": give_start(definition, at), "version": 1}
        await self._note(
            campaigns={campaign_id: launched | {"written": definition}}, limits=_list_own(campaign_id, definition)
        )

    async def try_out(self, campaign_id: str, definition: Mapping[str, Any]) -> None:
        """Make a campaign that is in shadow: it does not start before whatever comes."""
        await self.stock(definition)
        await self.call("POST", "/v1/campaigns", {"campaign_id": campaign_id, "definition": definition})
        await self.call("POST", f"/v1/campaigns/{campaign_id}/shadow")
        tried = {"state": "shadow", "definition": definition, "version": 1}
        await self._note(campaigns={campaign_id: tried | {"written": definition}})

    async def end_trial(self, campaign_id: str, *, by_draft: bool) -> None:
        """Launch a campaign that is in shadow, at once or from a draft."""
        campaign = self.book.campaigns[campaign_id]
        launched_at = datetime.now(UTC).isoformat() if self.book.tenant["clock"] == "live" else None
        if by_draft:
            await self.call("POST", f"/v1/campaigns/{campaign_id}/withdraw")
        answer = await self.call("POST", f"/v1/campaigns/{campaign_id}/launch")
        assert answer["version"] == campaign["version"] + 1
        launched = {"state": "running", "definition": give_start(campaign["definition"], launched_at)}
        limits = _list_own(campaign_id, campaign["definition"])
        await self._note(campaigns={campaign_id: {**campaign, **launched, "version": answer["version"]}}, limits=limits)

    async def change(self, campaign_id: str, policy: str | None, definition: Mapping[str, Any]) -> None:
        """Make a new version of a running campaign, which starts when it says, or when the one before did.

        The answer tells which of the kept versions are still needed.
        """
        campaign = self.book.campaigns[campaign_id]
        changed_to = give_start(definition, (campaign["definition"].get("schedule") or {}).get("starts_at"))
        query = f"?open_instances={policy}" if policy else ""
        answer = await self.call("PUT", f"/v1/campaigns/{campaign_id}{query}", definition)
        before = {**campaign.get("kept", {}), campaign["version"]: campaign["definition"]}
        kept = {version: before[version] for version in answer["kept_versions"]}
        assert (campaign["version"] in kept) == (policy == "keep")
        changed = {"state": campaign["state"], "definition": changed_to, "version": answer["version"], "kept": kept}
        limits = _list_own(campaign_id, definition) if campaign["state"] != "shadow" else {}
        await self._note(campaigns={campaign_id: changed | {"written": definition}}, limits=limits)

    async def toggle(self, campaign_id: str) -> None:
        """Pause a running campaign, resume a paused one."""
        campaign = self.book.campaigns[campaign_id]
        verb, state = ("pause", "paused") if campaign["state"] == "running" else ("resume", "running")
        await self.call("POST", f"/v1/campaigns/{campaign_id}/{verb}")
        await self._note(campaigns={campaign_id: {**campaign, "state": state}})

    async def hold_out(self, percent: int) -> None:
        """Hold so many percent of the users out."""
        await self.call("PATCH", "/v1/tenant", {"holdout_percent": percent})
        await self._note(tenant={"holdout_percent": percent})

    async def cap(self, limit: Mapping[str, Any]) -> None:
        """Make a limit, or change its cap."""
        await self.stock(limit)
        if limit["limit_id"] in self.book.limits:
            await self.call("PUT", f"/v1/limits/{limit['limit_id']}", limit)
        else:
            await self.call("POST", "/v1/limits", limit)
        await self._note(limits={limit["limit_id"]: limit})

    async def enlist(self, cohort_id: str, members: frozenset[str]) -> None:
        """Make a cohort of these users, under whatever id: it is of who they are by now."""
        if cohort_id not in self.book.cohorts:
            await self.call("POST", "/v1/cohorts", {"cohort_id": cohort_id, "name": cohort_id})
        csv = "user_id\n" + "".join(f"{member}\n" for member in sorted(members))
        headers = ANY | {"Content-Type": "text/csv"}
        answer = await self.client.put(f"/v1/cohorts/{cohort_id}/members", content=csv, headers=headers)
        assert answer.is_success, answer.text
        await self._note(cohorts={cohort_id: frozenset(self.people.find(member) for member in members)})

    async def fill(self, list_id: str, items: tuple[str, ...]) -> None:
        """Make these the items of a list."""
        await self.call("PUT", f"/v1/lists/{list_id}", {"name": list_id, "items": items})
        await self._note(lists={list_id: items})

    async def describe(self, user_id: str, attributes: Mapping[str, Any], time_zone: str | None = None) -> None:
        """Store a user's attributes and zone: seen at once, they belong to no version. They are of who the user is by now."""
        await self.call("PUT", f"/v1/users/{user_id}", {"attributes": attributes, "time_zone": time_zone})
        now = self.people.find(user_id)
        users, zones = dict(self.book.users) | {now: attributes}, dict(self.book.zones) | {now: time_zone}
        self.book = replace(self.book, users=users, zones=zones)

    async def stock(self, document: Mapping[str, Any]) -> None:
        """Make the pools that a definition or a limit names, with more codes than are ever given here."""
        named = {each["pool"] for each in (document, *document.get("rewards", ())) if "pool" in each}
        for pool in named - self.pools:
            await self.call("POST", "/v1/coupon-pools", {"pool_id": pool, "name": pool})
            codes = "".join(f"{pool}-{number}\n" for number in range(MANY_CODES))
            headers = ANY | {"Content-Type": "text/csv"}
            answer = await self.client.post(f"/v1/coupon-pools/{pool}/codes", content=codes, headers=headers)
            assert answer.is_success, answer.text
            self.pools.add(pool)

    async def merge(self, user: str, into: str, merge_id: str) -> Merging:
        """Make one user another. Its attributes stand; those that it lacks it has of the first, whose place in lists it takes."""
        refused = await self._list_refused()
        answer = await self.call("POST", f"/v1/users/{into}/merges", {"merge_id": merge_id, "from": user})
        now = self.people.find(into)
        assert (answer["from_user_id"], answer["user_id"]) == (user, now), answer
        self.people.merge(user, now)
        users, zones = dict(self.book.users), dict(self.book.zones)
        gone, zone = users.pop(user, None), zones.pop(user, None)
        if gone is not None:
            users[now] = {**gone, **users.get(now, {})}
            zones[now] = zones.get(now) or zone
        self.book = replace(self.book, users=users, zones=zones)
        lists = self.book.cohorts.items()
        await self._note(cohorts={name: members - {user} | {now} for name, members in lists if user in members})
        return Merging(merge_id, self.tenant_id, user, into, refused)

    async def rank(self, currency: str, ladder: Mapping[str, Any] | None) -> None:
        """Define or change the levels of a currency of points; None: delete them."""
        if ladder is None:
            await self.call("DELETE", f"/v1/ladders/{currency}")
        else:
            await self.call("PUT", f"/v1/ladders/{currency}", ladder)
        await self._note()

    async def _list_refused(self) -> frozenset[str]:
        """The ids of the decisions that completed a quest, and were refused."""
        query = text(SQL["refused"]).bindparams(tenant=self.tenant_id)
        async with self.owner.connect() as connection:
            return frozenset((await connection.execute(query)).scalars())

    async def _note(self, **changed: Mapping[str, Any]) -> None:
        parts = {name: dict(getattr(self.book, name)) | dict(new) for name, new in changed.items()}
        self.book = replace(self.book, **parts)
        query = select(tenant.c.book_version).where(tenant.c.tenant_id == self.tenant_id)
        async with transaction(self.owner) as connection:
            self.version = (await connection.execute(query)).scalar_one()
        self.books[self.version] = self.book


def _list_own(campaign_id: str, definition: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The limits of a launched campaign's definition, by id."""
    named = {f"{campaign_id}.{each['name']}": each for each in definition.get("limits", ())}
    return {name: {**each, "limit_id": name, "campaign_id": campaign_id} for name, each in named.items()}
