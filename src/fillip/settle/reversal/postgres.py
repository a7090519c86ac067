"""Reversals in PostgreSQL, inside the transaction of settle."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from uuid import UUID

import asyncpg
from msgspec import json

from fillip.core.book.version import CampaignVersion
from fillip.core.campaign.quest import Quest
from fillip.core.errors import Unreadable
from fillip.core.ledger.decision import identify_incentive
from fillip.core.ledger.points import PointsToReverse, WalletKey
from fillip.core.ledger.reevaluation import DecidedBy
from fillip.core.ledger.reversal import (
    Grant,
    GrantedIncentive,
    LimitTerms,
    Reevaluation,
    ReversalRequest,
    ReversedSoFar,
    TakenLine,
)
from fillip.core.ledger.stock import BadgeKey
from fillip.core.ledger.wallet import Wallet
from fillip.core.limit import CounterUse
from fillip.core.named_list import NamedList
from fillip.core.quest.batch import InstanceKey
from fillip.core.quest.instance import Contribution
from fillip.core.quest.reversal import InstanceHistory
from fillip.core.schema.coerce import build_coercer
from fillip.core.schema.reader import Read, ReadEvent, build_event_coercer
from fillip.core.schema.types import derive_type
from fillip.rows.campaign.postgres import know_lists, name_lists, read_version
from fillip.rows.columns import to_columns
from fillip.rows.quest.postgres import read_instance
from fillip.settle.reversal.rows import list_inbox_updates, list_lines, list_lowered, list_reversals, list_taken
from fillip.settle.reversal.stage import (
    ContributionsByInstance,
    EventKey,
    Incentive,
    InstanceHistories,
    PendingReversal,
    SettledReversal,
    Version,
)
from fillip.settle.wallet import PostgresWallets, Terms

SQL = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.sql")}
_requests = json.Decoder(ReversalRequest)
_uses = json.Decoder(list[CounterUse])
_quests = json.Decoder(Quest)
_reevaluations = json.Decoder(list[Reevaluation])
_keep_version = lru_cache(maxsize=256)(read_version)
"""Of the same content the same, with its compiled rules."""
PAGE = 1_000  # contributions replayed at a time
_INCENTIVE = GrantedIncentive.__struct_fields__[:-1]
_PLACE = (*InstanceKey._fields[:3], "instance_key", "occurrence")


class PostgresReversals:
    """Reversals."""

    def __init__(self, connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]") -> None:
        """`connection` is inside a transaction."""
        self._connection = connection

    async def find_waiting(self, originals: Collection[EventKey]) -> Sequence[PendingReversal]:
        """See Reversals."""
        return [
            PendingReversal(
                tenant_id=row["tenant_id"],
                source=row["reversal_source"],
                reversal_id=row["reversal_id"],
                user_id=row["user_id"],
                request=_requests.decode(row["request"]),
                occurred_at=row["occurred_at"],
                received_at=row["received_at"],
            )
            for row in await self._fetch("find_waiting", originals)
        ]

    async def read_reversed_so_far(self, pending: Sequence[PendingReversal]) -> Mapping[EventKey, ReversedSoFar]:
        """See Reversals."""
        rows = await self._fetch("read_reversed_shares", sorted({each.original for each in pending}))
        shares = {(row["tenant_id"], row["event_key"]): row for row in rows}
        lines: dict[EventKey, dict[str, TakenLine]] = {}
        if wanted := sorted({(*each.original, line) for each in pending for line in each.request.line_names}):
            for row in await self._connection.fetch(SQL["read_lines"], *to_columns(wanted, 3)):
                whole = None if row["whole"] is None else Fraction(row["whole"])
                of_event = lines.setdefault((row["tenant_id"], row["event_key"]), {})
                of_event[row["line"]] = TakenLine(Fraction(row["share"]), whole)
        return {
            key: ReversedSoFar(Fraction(row["share"]), lines.get(key, {}), _read_reevaluated(row["reevaluations"]))
            for key, row in shares.items()
        }

    async def lock_histories(self, originals: Sequence[EventKey]) -> InstanceHistories:
        """See Reversals."""
        histories = {}
        for row in await self._fetch("lock_histories", originals):
            histories[_read_place(row)] = InstanceHistory(_quests.decode(row["quest"]), read_instance(row))
        contributions: dict[EventKey, ContributionsByInstance] = {}
        for row in await self._fetch("read_contributions", originals) if histories else ():
            contribution = _read_contribution(row)
            of_event = contributions.setdefault((row["tenant_id"], contribution.event_key), {})
            if (place := _read_place(row)) in histories:
                of_event.setdefault(place, []).append(contribution)
        pending = set(originals)
        for place, history in histories.items():
            start = history.instance.start_event_key
            if start and (key := (place.tenant_id, start)) in pending:
                contributions.setdefault(key, {}).setdefault(place, [])
        return InstanceHistories(histories, contributions)

    async def find_grants(self, originals: Collection[EventKey]) -> Mapping[EventKey, Sequence[Grant]]:
        """See Reversals."""
        rows = await self._fetch("find_grants", originals)
        by_decision = await self._lock_incentives(rows)
        grants: dict[EventKey, list[Grant]] = {}
        for row in rows:
            grant = Grant(
                decision_id=row["decision_id"],
                campaign_id=row["campaign_id"],
                user_id=row["user_id"],
                instance=row["instance"],
                give_back=row["give_back"],
                uses=_uses.decode(row["limits"]),
                incentives=by_decision.get((row["tenant_id"], row["decision_id"]), []),
            )
            grants.setdefault((row["tenant_id"], row["event_key"]), []).append(grant)
        return grants

    async def read_decided_by(self, grants: Sequence[tuple[str, Grant]]) -> Mapping[UUID, DecidedBy]:
        """See Reversals."""
        rows = await self._fetch("read_decided_by", sorted((tenant, grant.decision_id) for tenant, grant in grants))
        versions = {row["decision_id"]: _read_version(row) for row in rows}
        asked = sorted(
            {
                (row["tenant_id"], name, row["book_version"])
                for row in rows
                for name in name_lists(versions[row["decision_id"]])
            }
        )
        lists: dict[tuple[str, int], dict[str, NamedList]] = {}
        for row in await self._connection.fetch(SQL["read_lists_then"], *to_columns(asked, 3)) if asked else ():
            then = lists.setdefault((row["tenant_id"], row["book_version"]), {})
            then[row["list_id"]] = NamedList(row["version"], json.decode(row["items"]))
        return {
            row["decision_id"]: DecidedBy(
                know_lists(versions[row["decision_id"]], lists.get((row["tenant_id"], row["book_version"]), {})),
                _read_user(row),
                row["occurred_at"],
                _build_event_coercer(row["schema"]),
            )
            for row in rows
        }

    async def share_limit_terms(self, limits: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], LimitTerms]:
        """See Reversals."""
        rows = await self._fetch("share_limit_terms", limits)
        return {(tenant, limit): LimitTerms(*rule) for tenant, limit, *rule in rows}

    async def find_badges(self, incentives: Sequence[Incentive]) -> Mapping[UUID, BadgeKey]:
        """See Reversals."""
        rows = await self._connection.fetch(SQL["find_badges"], *to_columns(incentives, 3))
        return {incentive_id: (tenant, user, badge) for incentive_id, tenant, user, badge in rows}

    async def read_quest(self, version: Version) -> Quest:
        """See Reversals."""
        return _quests.decode(await self._connection.fetchval(SQL["read_quest"], *version))

    async def replay_contributions(
        self, place: InstanceKey, steps: Sequence[str], take: Callable[[Sequence[Contribution]], None]
    ) -> None:
        """See Reversals."""
        cursor = await self._connection.cursor(SQL["replay_contributions"], *place, steps)
        while page := await cursor.fetch(PAGE):
            take([_read_contribution(row) for row in page])

    async def prepare_wallets(
        self, wallets: Mapping[WalletKey, Wallet], takings: Sequence[PointsToReverse], at: datetime
    ) -> Terms:
        """See Reversals."""
        return await PostgresWallets(self._connection).prepare(wallets, takings, at)

    async def write(self, reversed_: Sequence[SettledReversal]) -> None:
        """See Reversals."""
        for name, tables in {
            "write_reversals": (list_reversals(reversed_), list_lines(reversed_), list_taken(reversed_)),
            "lower_contributions": (list_lowered(reversed_),),
            "tell_reversed": (list_inbox_updates(reversed_),),
        }.items():
            if tables[0]["tenant_id"]:
                await self._connection.execute(SQL[name], *(column for each in tables for column in each.values()))

    async def _lock_incentives(self, rows: Sequence[asyncpg.Record]) -> dict[tuple[str, UUID], list[GrantedIncentive]]:
        policies = {(row["tenant_id"], row["decision_id"]): row["on_partial"] for row in rows}
        ids = sorted(
            (row["tenant_id"], identify_incentive(row["decision_id"], index))
            for row in rows
            for index in range(row["rewards"])
        )
        incentives: dict[tuple[str, UUID], list[GrantedIncentive]] = {}
        for row in await self._fetch("lock_incentives", ids) if ids else ():
            decision = (row["tenant_id"], row["decision_id"])
            on_partial = policies[decision][row["reward_index"]] if policies[decision] else None
            each = GrantedIncentive(**{name: row[name] for name in _INCENTIVE}, on_partial=on_partial)
            incentives.setdefault(decision, []).append(each)
        return incentives

    async def _fetch(self, name: str, keys: Collection[tuple[object, ...]], *more: object) -> list[asyncpg.Record]:
        return await self._connection.fetch(SQL[name], *to_columns(keys, 2), *more)


def _read_reevaluated(text: str | None) -> dict[UUID, Reevaluation]:
    found = _reevaluations.decode(text) if text else []
    return {each.incentive_id: each for each in found}


def _read_version(row: asyncpg.Record) -> CampaignVersion:
    return _keep_version(row["campaign_id"], row["campaign_version"], "running", row["definition"], row["checked"])


def _read_user(row: asyncpg.Record) -> Mapping[str, object]:
    try:
        return _build_user_coercer(row["user_schema"])(json.decode(row["user_attributes"] or "{}"))
    except Unreadable:  # no rule has read it then
        return {}


@lru_cache(maxsize=256)
def _build_user_coercer(schema: str) -> Read:
    return build_coercer(derive_type(json.decode(schema)))


@lru_cache(maxsize=256)
def _build_event_coercer(schema: str) -> ReadEvent:
    return build_event_coercer(json.decode(schema))


def _read_place(row: asyncpg.Record) -> InstanceKey:
    return InstanceKey(*(row[name] for name in _PLACE))


def _read_contribution(row: asyncpg.Record) -> Contribution:
    return Contribution(*(row[name] for name in Contribution.__struct_fields__))
