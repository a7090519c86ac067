"""The books that events were decided under, put together from the changes that the ledger keeps, as role fillip_worker."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from fillip.core.book.book import Action, Book, index_triggers
from fillip.core.book.version import CampaignVersion, join_versions
from fillip.core.errors import Refused
from fillip.core.limit import Limit
from fillip.core.named_list import Lists, NamedList
from fillip.core.schema.coerce import build_coercer
from fillip.core.schema.reader import build_event_reader
from fillip.core.schema.types import derive_type
from fillip.core.tenant import Tenant
from fillip.manage.backtest.past_postgres import PastLedger
from fillip.rows.campaign.postgres import name_lists, read_version

KEPT_BOOKS = 8
_NOT_MET = ("draft", "archived")
_SQL = {
    name: Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8")
    for name in ("find_pins", "find_changes", "read_documents", "read_lists", "read_versions")
}
_KEYED = msgspec.json.Decoder(dict[str, Any])
_LIMIT = msgspec.json.Decoder(Limit)


class RecordedBooks:
    """Of one campaign. Cohorts are those of the book of now: members of former versions are not kept."""

    def __init__(
        self,
        ledger: PastLedger,
        book: Book,
        campaign_id: str,
        pins: Mapping[int, tuple[Sequence[int], Sequence[int]]],
        changes: Sequence[int],
        versions: Mapping[int, CampaignVersion],
    ) -> None:
        """`pins` are offsets and book versions by partition, both rising; `changes` the versions that changed anything here."""
        self._ledger = ledger
        self._now = book
        self._campaign_id = campaign_id
        self._pins = pins
        self._changes = changes
        self.versions = versions
        self._books: dict[int, Book] = {}

    async def find(self, partition: int, log_offset: int) -> Book | None:
        """See Books."""
        offsets, versions = self._pins.get(partition, ((), ()))
        place = bisect_right(offsets, log_offset)
        if not place:
            return None
        version = versions[place - 1]
        change = bisect_right(self._changes, version)
        book = self._books.get(change)
        if book is None:
            if len(self._books) >= KEPT_BOOKS:
                del self._books[next(iter(self._books))]
            book = self._books[change] = await self._read(version)
        return book

    async def _read(self, version: int) -> Book:
        tenant_id = self._now.tenant.tenant_id
        rows = await self._ledger.fetch(_SQL["read_documents"], tenant_id, self._campaign_id, version)
        documents: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            documents[row["kind"]].append(row["document"])
        campaigns = [found for each in documents["campaign"] if (found := self._read_campaign(each))]
        limits = [_LIMIT.decode(each) for each in documents["limit"] if not _KEYED.decode(each).get("deleted")]
        mine = {limit.limit_id: limit for limit in limits if limit.campaign_id in (None, self._campaign_id)}
        named = {list_id for each in campaigns for one in (each, *each.retained) for list_id in name_lists(one)}
        lists = await self._read_lists(named | self._now.lists.keys(), version)
        known = [_know_lists(each, lists) for each in campaigns]
        tenant = _KEYED.decode(documents["tenant"][0])
        return replace(
            self._now,
            version=version,
            tenant=Tenant(tenant_id, *(tenant[name] for name in Tenant.__struct_fields__[1:])),
            actions={action.name: action for each in documents["action"] if (action := _read_action(each))},
            read_user=build_coercer(derive_type(tenant["user_schema"])),
            campaign_versions={each.campaign_id: each for each in known},
            by_action=index_triggers(known, {}, tenant["time_zone"]),
            limits=mine,
            lists=lists,
        )

    def _read_campaign(self, text: str) -> CampaignVersion | None:
        """None where it took no events."""
        document = _KEYED.decode(text)
        if document.get("deleted") or document["state"] in _NOT_MET:
            return None
        definition, checked = msgspec.json.encode(document["definition"]), msgspec.json.encode(document["checked"])
        newest = read_version(self._campaign_id, document["version"], document["state"], definition, checked)
        kept = [replace(self.versions[version], state=newest.state) for version in sorted(document["kept"] or ())]
        return join_versions([*kept, newest])

    async def _read_lists(self, named: set[str], version: int) -> Lists:
        rows = await self._ledger.fetch(_SQL["read_lists"], self._now.tenant.tenant_id, sorted(named), version)
        return {row["list_id"]: NamedList(row["version"], msgspec.json.decode(row["items"])) for row in rows}


async def load_recorded_books(ledger: PastLedger, book: Book, campaign_id: str) -> RecordedBooks:
    """What is known of a tenant's former books, as far as one campaign goes. Raises Refused where it can't be told, Retry."""
    tenant_id = book.tenant.tenant_id
    rows = await ledger.fetch(_SQL["find_pins"], tenant_id)
    if len({(row["topic"], row["generation"]) for row in rows}) > 1:
        raise Refused("the log was replaced meanwhile: which definitions were in force for an event can't be told")
    pins: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for row in rows:
        offsets, books = pins[row["partition"]]
        offsets.append(row["from_offset"])
        books.append(row["book_version"])
    changes = [row["book_version"] for row in await ledger.fetch(_SQL["find_changes"], tenant_id, campaign_id)]
    versions = {
        row["version"]: read_version(campaign_id, row["version"], "running", row["definition"], row["checked"])
        for row in await ledger.fetch(_SQL["read_versions"], tenant_id, campaign_id)
    }
    return RecordedBooks(ledger, book, campaign_id, dict(pins), changes, versions)


def _know_lists(campaign_version: CampaignVersion, lists: Lists) -> CampaignVersion:
    mine = {name: lists[name] for name in name_lists(campaign_version)}
    retained = tuple(_know_lists(each, lists) for each in campaign_version.retained)
    return replace(campaign_version, lists=mine, retained=retained)


def _read_action(text: str) -> Action | None:
    """None where it was deleted."""
    document = _KEYED.decode(text)
    if document.get("deleted"):
        return None
    return Action(document["name"], document["schema"], build_event_reader(document["schema"]))
