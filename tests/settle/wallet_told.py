"""What the systems behind the ledger are told of points: announcements out of the WAL, loaded into a report, and frames."""

import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from msgspec.structs import astuple

from fillip.analyse.duckdb.bay import DuckdbBay, sources
from fillip.analyse.facts import sift
from fillip.analyse.liability import LiabilityQuestion, ask_expiries
from fillip.analyse.report import Question
from fillip.core.instant import MIN_TIME
from fillip.deliver.frames import read_announcement, write_entry
from fillip.publish.announce import Announcer, Done
from fillip.publish.envelope import SourceWriter
from fillip.publish.postgres import SESSION
from fillip.publish.scribe import Scribe
from fillip.publish.spool import Spool
from fillip.stream.belt import Record
from fillip.stream.topics import Topics

NEWS = (
    "SELECT data FROM pg_logical_slot_get_binary_changes(%s, NULL, NULL, 'proto_version', '1',"
    " 'publication_names', 'fillip')"
)
EVERYTHING = Question("acme", date.min, date.max, None, 1_000, (date.min, ""))
LEDGER = """
    SELECT currency, sum(value)::bigint AS granted, sum(reversed_value)::bigint AS by_incentives,
           (SELECT coalesce(sum(w.reversed), 0)::bigint FROM wallet w WHERE w.currency = i.currency) AS by_wallets
    FROM incentive i WHERE kind = 'points' GROUP BY currency
"""

INSTANTS = """
    SELECT DISTINCT made_at - shift * interval '1 microsecond' FROM (
        SELECT made_at FROM wallet_transfer ORDER BY md5(transfer_id::text || %s) LIMIT 5
    ) AS picked, generate_series(0, 1) AS shift ORDER BY 1
"""
OUTSTANDING = """
    SELECT currency, coalesce(sum(amount) FILTER (WHERE account = 'pending'), 0)::bigint,
           coalesce(sum(amount) FILTER (WHERE account = 'active'), 0)::bigint,
           coalesce(sum(amount) FILTER (WHERE account = 'held'), 0)::bigint, sum(amount)::bigint
    FROM wallet_posting WHERE tenant_id = 'acme' AND account IN ('pending', 'active', 'held') AND made_at <= %s
    GROUP BY currency ORDER BY currency
"""

LASTING = """
    SELECT t.currency, coalesce(to_char((c.expires_at - interval '1 microsecond') AT TIME ZONE 'Asia/Kathmandu', 'YYYY-MM'), 'never'),
           sum(c.change)::bigint
    FROM (SELECT currency, lots, expiries, made_at FROM wallet_transfer WHERE tenant_id = 'acme'
          UNION ALL SELECT currency, lots, expiries, made_at FROM wallet_part WHERE tenant_id = 'acme') AS t
    CROSS JOIN LATERAL (
        SELECT n.value::bigint AS change, t.expiries[n.place] AS expires_at FROM jsonb_each_text(t.lots) WITH ORDINALITY AS n (key, value, place)
    ) AS c
    WHERE t.made_at <= %(at)s AND (c.expires_at IS NULL OR c.expires_at > %(at)s)
    GROUP BY 1, 2 HAVING sum(c.change) <> 0 ORDER BY 1, 2
"""


class Told:
    """Announcements of everything that is committed after it was made, as publish writes them."""

    def __init__(self, dsn: str) -> None:
        """`dsn` is the owner's."""
        topics = Topics()
        routes = {
            ("decision", "c"): topics.decided,
            ("incentive", "c"): topics.generated,
            ("incentive_change/reversed", "c"): topics.reversed,
            ("wallet_transfer", "c"): topics.moved,
            ("wallet_part", "c"): topics.drawn,
        }
        self._topics = topics
        self._announcer = Announcer(Scribe(SourceWriter("e1", "db"), routes, topics), Done({}, {}), Spool())
        self._reader = psycopg.connect(dsn, autocommit=True, **SESSION)
        self._slot = f"sums_{self._reader.info.dbname}"  # one server may have the databases of several runs
        self._reader.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [self._slot])
        self._stack, self._offset = AsyncExitStack(), 0
        self._frames: dict[str, list[dict[str, Any]]] = defaultdict(list)

    async def open(self) -> None:
        """Open the report."""
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="fillip-told-")))
        self._bay = await self._stack.enter_async_context(DuckdbBay.open(folder / "analyse.duckdb", self._topics))

    async def close(self) -> None:
        """Let go of everything."""
        await self._stack.aclose()
        self._reader.execute("SELECT pg_drop_replication_slot(%s)", [self._slot])
        self._reader.close()

    async def read(self) -> None:
        """Take in the news: facts into the report, frames to the users."""
        wal = [(0, bytes(data)) for (data,) in self._reader.execute(NEWS, [self._slot])]
        (piece,) = self._announcer.read(wal, now_us=0)
        assert not piece.asides, piece.asides
        records = []
        for topic, key, value, *_ in piece.messages:
            if topic == self._topics.schemas:
                continue
            self._offset += 1
            records.append(Record(topic, 0, self._offset, value, key, 0))
            if topic in self._topics.told:
                user_id, entry = json.loads(value)["after"]["user_id"], read_announcement(value).entry
                self._frames[user_id].append(json.loads(write_entry(entry)))
        facts = [record for record in records if record.topic in sources(self._topics)]
        await self._bay.load(sift(facts, await self._bay.read_positions()))

    async def report(self) -> Mapping[str | None, tuple[int, int]]:
        """(granted, reversed) points of all users, by currency."""
        sums: Counter[tuple[str | None, str]] = Counter()
        for day in await self._bay.report_campaign_days(EVERYTHING):
            for spend in day.spend:
                sums[spend.currency, "granted"] += spend.value
                sums[spend.currency, "reversed"] += spend.reversed
        return {currency: (sums[currency, "granted"], sums[currency, "reversed"]) for currency, _ in sums}

    def recount(self) -> Mapping[str, tuple[int, int]]:
        """The same by the ledger, whose incentives and wallets have to agree."""
        found = {}
        for currency, granted, by_incentives, by_wallets in self._reader.execute(LEDGER):
            assert by_incentives == by_wallets, currency
            found[currency] = (granted, by_wallets)
        return found

    async def check_liability(self, salt: str) -> None:
        """At some instants, chosen by `salt`, the reports say what the ledger's postings and lots say, and what moved tells the rest."""
        began, before = MIN_TIME, dict[str, int]()
        for (at,) in self._reader.execute(INSTANTS, [salt]).fetchall():
            asked = LiabilityQuestion("acme", began, at, 100, "")
            lines = [astuple(line) for line in await self._bay.report_liability(asked)]
            assert lines == self._reader.execute(OUTSTANDING, [at]).fetchall(), at
            asked_when = ask_expiries("acme", "Asia/Kathmandu", at, 1_000, ("", ""))
            by_month = [astuple(line) for line in await self._bay.report_liability_expiries(asked_when)]
            assert {c: n for c, expires, n in by_month if expires == "held"} == {c: n for c, _, _, n, _ in lines if n}
            settled = [line for line in by_month if line[1] not in ("held", "unsettled")]
            assert settled == self._reader.execute(LASTING, {"at": at}).fetchall(), at
            held = Counter({currency: 0 for currency, *_ in lines})
            for currency, _, outstanding in by_month:
                held[currency] += outstanding
            assert held == {currency: outstanding for currency, *_, outstanding in lines}
            for moved in await self._bay.report_liability_movements(asked):
                came = moved.granted + moved.adjusted + moved.imported + moved.refunded
                assert moved.opening == before.get(moved.currency, 0)
                assert moved.closing == moved.opening + came - moved.spent - moved.expired - moved.reversed
            began, before = at, {currency: outstanding for currency, *_, outstanding in lines}

    def count_taken(self, user_id: str) -> Mapping[UUID, int]:
        """What a user's frames say was taken of each incentive, in their order, each with the sum so far."""
        taken: Counter[UUID] = Counter()
        frames = self._frames[user_id]
        assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))
        for frame in frames:
            if frame["type"] == "reversed":
                incentive_id = UUID(frame["incentive"]["incentive_id"])
                taken[incentive_id] += frame["change"]["value"]
                assert frame["change"]["reversed_value"] == taken[incentive_id], frame
        return {incentive_id: value for incentive_id, value in taken.items() if value}
