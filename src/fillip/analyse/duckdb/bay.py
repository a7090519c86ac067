"""The facts in one DuckDB file, which this process owns. Threads of their own load and report: no report waits for a load."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC
from pathlib import Path
from typing import Any, Self, TypeVar

import duckdb
from msgspec import Struct
from msgspec.structs import asdict, astuple

from fillip.analyse.burn import BurnQuestion, LimitBurn, LimitHour, LimitHoursQuestion, LimitUse, list_since, tell_limit
from fillip.analyse.day_files.duckdb import DayFiles
from fillip.analyse.facts import UNKNOWN_STEPS, Aside, Load, Mark, Position, describe_aside
from fillip.analyse.funnel import FunnelQuestion, QuestFunnel, tell_step
from fillip.analyse.level import LevelDay, LevelMove
from fillip.analyse.liability import ExpiryQuestion, Liability, LiabilityExpiry, LiabilityMovement, LiabilityQuestion
from fillip.analyse.report import CampaignDay, CampaignVariant, Question, RejectionDay
from fillip.analyse.spend import Spend
from fillip.analyse.times import CampaignTimes, Times
from fillip.analyse.uplift import UpliftQuestion
from fillip.core.errors import Crash, Retry
from fillip.stream.belt import Record
from fillip.stream.topics import Partition, Topics

MEMORY_LIMIT = "256MB"
MOST = 2**63 - 1
SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": MEMORY_LIMIT,
    "threads": "1",
    "preserve_insertion_order": "false",
}
SQL = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.sql")}
TRANSIENT_ERRORS = (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.TransactionException)
ENDED = (duckdb.FatalException, duckdb.InternalException)
"""After these the file can't be used before it is opened anew."""

Answer = TypeVar("Answer")


class Steps(Struct, frozen=True):
    """The statements that load a topic, and those that forget what a partition of it brought; its kind for SQL.

    `unknown` tells the places of what nothing could be loaded of, since what it stands on is not there.
    """

    load: Sequence[str]
    forget: Sequence[str] = ()
    kind: str = ""
    unknown: str = ""


_REJECTED = (
    "take_rejected",
    "add_rejected",
    "drop_rejected_repeats",
    "take_struck",
    "strike_filed",
    "drop_struck_rows",
)
_FREED = ("drop_struck_keys", "take_freed", "add_events", "add_event_keys", "drop_freed_repeats")
STEPS = (
    Steps(("take_events", "add_events", "add_repeats", "add_event_keys")),
    Steps(("load_decisions", "load_decision_rows"), ("forget_decisions", "forget_decision_rows"), "decisions"),
    Steps(
        ("load_rejections", "load_rejection_rows", *_REJECTED, *_FREED),
        ("forget_rejections", "forget_rejection_rows"),
        "rejections",
    ),
    Steps(("load_incentive_rows", "load_grants"), ("forget_incentive_rows", "forget_grants"), "incentives"),
    Steps(
        ("load_reversals", "load_reversal_rows"), ("forget_reversals", "forget_reversal_rows"), "incentive_reversals"
    ),
    Steps(("load_transfers", "load_lots"), ("forget_transfers", "forget_lots")),
    Steps(
        ("take_quests", "carry_quest_steps", "drop_old_quests", "add_quests"),
        ("forget_quests",),
        unknown="unknown_quests",
    ),
    Steps(("take_claims", "drop_old_claims", "add_claims")),
    Steps(("take_acks", "drop_old_acks", "add_acks"), ("forget_acks",)),
    Steps(("load_limits", "load_zones"), ("forget_limits", "forget_zones")),
    Steps(
        ("take_counters", "sum_uses", "raise_uses", "add_uses", "drop_old_counters", "add_counters"),
        ("forget_counters", "forget_uses"),
    ),
    Steps(("load_later_lots",), ("forget_later_lots",)),
    Steps(("load_levels",), ("forget_levels",)),
)
"""Of each of `sources`. A rejection strikes its event, and lets count what was received again."""


class DuckdbBay:
    """Bay in a DuckDB file."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, topics: Topics, day_files: DayFiles) -> None:
        """What is loaded comes from these topics: see `sources`."""
        self._connection = connection
        self._reading = connection.cursor()
        self._steps = dict(zip(sources(topics), STEPS, strict=True))
        self.day_files = day_files
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="duckdb-load")
        self._reports = ThreadPoolExecutor(1, thread_name_prefix="duckdb-report")
        self._positions: dict[Partition, Position] | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, file: Path, topics: Topics) -> AsyncIterator[Self]:
        """Open or create the file, and the folder of day files beside it.

        Raises Crash when it can't be: another process owns it, or it is no such file.
        """
        folder = file.parent / "bay"
        connection = await asyncio.to_thread(_connect, file, folder)
        bay = cls(connection, topics, DayFiles(connection, folder))
        try:
            await bay.day_files.clean()
            yield bay
        finally:
            await asyncio.to_thread(bay.day_files.close)
            await asyncio.to_thread(bay._reports.shutdown)
            await bay._run(connection.close)
            bay._thread.shutdown()
            del bay._connection, bay._reading, connection  # the driver complains of what stands in a circle at the end

    async def read_positions(self) -> Mapping[Partition, Position]:
        """See Bay. Kept in memory after the first reading: nobody else writes."""
        if self._positions is None:
            found = [Position(*row) for row in await self._report("positions")]
            self._positions = {(position.topic, position.partition): position for position in found}
        return self._positions

    async def read_mark(self, tenant_id: str) -> Mark | None:
        """See Bay."""
        found = await self._report("marks", {"tenant_id": tenant_id})
        return Mark(*found[0]) if found else None

    async def load(self, load: Load) -> None:
        """See Bay."""
        known = await self.read_positions()
        self._positions = None  # not known until the load has succeeded
        await self._run(lambda: self._load(load))
        self._positions = {**known, **load.positions}

    async def report_campaign_days(self, question: Question) -> Sequence[CampaignDay]:
        """See Bay."""
        rows = await self._report("campaign_days", _ask(question))
        return [
            CampaignDay(
                day=day,
                campaign_id=campaign_id,
                granted=granted,
                issued=issued,
                denied=denied or {},
                spend=[Spend(**s) for s in spend or ()],
                unique_users=users,
                shadow_spend=[Spend(**s) for s in would or ()],
            )
            for day, campaign_id, granted, issued, denied, spend, users, would in rows
        ]

    async def report_campaign_variants(self, question: Question) -> Sequence[CampaignVariant]:
        """See Bay."""
        asked = {name: getattr(question, name) for name in ("tenant_id", "first", "last", "campaign_id")}
        return [
            CampaignVariant(
                variant, users, granted, issued, denied or {}, [Spend(**s) for s in spend or ()], unique_users
            )
            for variant, users, granted, issued, denied, spend, unique_users in await self._report(
                "campaign_variants", asked
            )
        ]

    async def report_rejection_days(self, question: Question) -> Sequence[RejectionDay]:
        """See Bay."""
        asked = _ask(question)
        del asked["campaign_id"]
        return [RejectionDay(*row) for row in await self._report("rejection_days", asked)]

    async def report_level_days(self, question: Question, zone: str) -> Sequence[LevelDay]:
        """See Bay."""
        asked = _ask(question) | {"zone": zone}
        del asked["campaign_id"]
        rows = await self._report("level_days", asked)
        return [
            LevelDay(day, currency, up, down, renamed, [LevelMove(**each) for each in moves])
            for day, currency, up, down, renamed, moves in rows
        ]

    async def report_campaign_times(self, question: Question) -> Sequence[CampaignTimes]:
        """See Bay."""
        return [_tell_times(row) for row in await self._report("campaign_times", _ask(question))]

    async def read_time_zone(self, tenant_id: str) -> str | None:
        """See Bay."""
        found = await self._report("time_zone", {"tenant_id": tenant_id})
        return str(found[0][0]) if found else None

    async def report_limit_burn(self, question: BurnQuestion) -> Sequence[LimitBurn]:
        """See Bay."""
        day_since, week_since = list_since(question.now)
        asked = {name: value for name, value in asdict(question).items() if name not in ("now", "windows")}
        windows = {
            "spans": [each.span for each in question.windows],
            "weekdays": [each.week_starts_on for each in question.windows],
            "starts": [each.start for each in question.windows],
            "ends": [each.ends_at for each in question.windows],
        }
        rows = await self._report("limit_burn", asked | windows | {"day_since": day_since, "week_since": week_since})
        return [tell_limit(question.now, _read_use(row)) for row in rows]

    async def report_limit_hours(self, question: LimitHoursQuestion) -> Sequence[LimitHour]:
        """See Bay."""
        return [
            LimitHour(hour.replace(tzinfo=UTC), _fit(used))
            for hour, used in await self._report("limit_hours", asdict(question))
        ]

    async def report_liability(self, question: LiabilityQuestion) -> Sequence[Liability]:
        """See Bay."""
        asked = asdict(question)
        del asked["begin"]
        return [Liability(currency, *map(_fit, sums)) for currency, *sums in await self._report("liability", asked)]

    async def report_liability_movements(self, question: LiabilityQuestion) -> Sequence[LiabilityMovement]:
        """See Bay."""
        rows = await self._report("liability_movements", asdict(question))
        return [LiabilityMovement(currency, *map(_fit, sums)) for currency, *sums in rows]

    async def report_liability_expiries(self, question: ExpiryQuestion) -> Sequence[LiabilityExpiry]:
        """See Bay."""
        rows = await self._report("liability_expiries", asdict(question))
        return [LiabilityExpiry(currency, expires, _fit(held)) for currency, expires, held in rows]

    async def report_quest_funnel(self, question: FunnelQuestion) -> Sequence[QuestFunnel]:
        """See Bay."""
        rows = await self._report("quest_funnel", asdict(question))
        told = [[*counts, [tell_step(**step) for step in steps or ()]] for *counts, steps in rows]
        return [QuestFunnel(*line) for line in told]

    async def is_of_quest(self, question: UpliftQuestion) -> bool:
        """See Bay."""
        asked = {"tenant_id": question.tenant_id, "campaign_id": question.campaign_id}
        [(is_one,)] = await self._report("uplift_quest", asked)
        return bool(is_one)

    async def report_spend(self, question: UpliftQuestion) -> Mapping[str | None, Sequence[Spend]]:
        """See Bay."""
        found: dict[str | None, list[Spend]] = {}
        for variant, *spend in await self._report("uplift_spend", _pick(question)):
            found.setdefault(variant, []).append(Spend(*spend))
        return found

    async def write_met(self, question: UpliftQuestion, folder: Path) -> Mapping[str, str]:
        """See Bay."""
        asked = {name: getattr(question, name) for name in ("action", "path", "window_days")}
        return {
            "met": await self.day_files.write_found(SQL["uplift_met"], _pick(question), folder / "met.parquet"),
            "question": await self.day_files.write_found(SQL["uplift_question"], asked, folder / "question.parquet"),
        }

    async def _report(self, name: str, asked: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        return await self._run(lambda: self._reading.execute(SQL[name], asked).fetchall(), self._reports)

    async def _run(self, work: Callable[[], Answer], thread: ThreadPoolExecutor | None = None) -> Answer:
        try:
            return await asyncio.get_running_loop().run_in_executor(thread or self._thread, work)
        except TRANSIENT_ERRORS as error:
            raise Retry(f"the analytics file can't be used now: {error}") from error
        except duckdb.Error as error:
            raise Crash(f"the analytics file refused what it was given: {error}") from error

    def _load(self, load: Load) -> None:
        try:
            self._load_whole(load)
        except (*TRANSIENT_ERRORS, *ENDED):
            raise
        except Exception:  # noqa: BLE001 - perhaps some rows are to blame: the others are loaded without them
            for topic in list(load.rows):
                self._try(topic, [])  # raises where it is not the rows
                load.rows[topic], culprits = self._split(topic, load.rows[topic])
                load.asides += culprits
            self._load_whole(load)

    def _load_whole(self, load: Load) -> None:
        self._connection.begin()
        try:
            for topic, partition in load.renewed:
                for name in self._steps[topic].forget:
                    self._connection.execute(SQL[name], [partition])
                self._connection.execute(SQL["void_files"], [self._steps[topic].kind, partition])
            asides = list(load.asides)
            for topic in filter(load.rows.get, self._steps):
                asides += self._insert(topic, load.rows[topic])
            if asides:
                self._connection.executemany(SQL["set_aside"], [astuple(aside) for aside in asides])
            if load.marks:
                self._connection.executemany(SQL["mark"], [astuple(mark) for mark in load.marks.values()])
            self._connection.executemany(SQL["move"], [astuple(position) for position in load.positions.values()])
            self._connection.commit()
        except BaseException:
            self._connection.rollback()
            raise
        load.asides = asides

    def _insert(self, topic: str, rows: Sequence[Record]) -> list[Aside]:
        """Load them; those of which nothing could be loaded. Raises where one of them is no row, whatever the others are."""
        text, steps = _join(rows), self._steps[topic]
        for name in steps.load:
            self._connection.execute(SQL[name], [text] if "$1" in SQL[name] else None)
        if not steps.unknown:
            return []
        unknown = set(self._connection.execute(SQL[steps.unknown]).fetchall())
        return [
            describe_aside(row, ValueError(UNKNOWN_STEPS)) for row in rows if (row.partition, row.offset) in unknown
        ]

    def _try(self, topic: str, rows: Sequence[Record]) -> None:
        """Load them and take it back. Raises what loading them raises: what they stand on need not be there."""
        self._connection.begin()
        try:
            self._insert(topic, rows)
        finally:
            self._connection.rollback()

    def _split(self, topic: str, rows: list[Record]) -> tuple[list[Record], list[Aside]]:
        """Those that can be loaded, and those that can't: found by halves."""
        try:
            self._try(topic, rows)
        except (*TRANSIENT_ERRORS, *ENDED):
            raise
        except Exception as error:  # noqa: BLE001 - foreseen or not
            if len(rows) == 1:
                return [], [describe_aside(rows[0], error)]
            half = len(rows) // 2
            (first, culprits), (second, more) = self._split(topic, rows[:half]), self._split(topic, rows[half:])
            return first + second, culprits + more
        return rows, []


def sources(topics: Topics) -> list[str]:
    """The topics that facts are loaded from, in the order in which those of one load are."""
    return topics.loaded


def _connect(file: Path, folder: Path) -> duckdb.DuckDBPyConnection:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        connection = duckdb.connect(str(file), config=SETTINGS)
        connection.execute(SQL["schema"])
        connection.execute("SET allowed_directories = [$1]", [f"{folder.absolute()}/"])
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
    except (duckdb.Error, OSError) as error:
        raise Crash(f"the analytics file {file} can't be opened: {error}") from error
    return connection


def _join(rows: Sequence[Record]) -> str:
    """One JSON text for DuckDB to take apart: four times as fast as rows of Python values."""
    items = b",".join(
        b'{"partition":%d,"offset":%d,"message":%b}' % (row.partition, row.offset, row.value or b"null") for row in rows
    )
    return f"[{items.decode()}]"


def _fit(total: int) -> int:
    """The sum as JSON's readers can hold it: of many users it may be beyond."""
    return max(-MOST, min(total, MOST))


def _read_use(row: tuple[Any, ...]) -> LimitUse:
    ends_at, cap, used, first_hour, *rates = row[5:]
    instants = [each and each.replace(tzinfo=UTC) for each in (ends_at, first_hour)]
    return LimitUse(*[*row[:5], instants[0], cap, used, instants[1], *map(_fit, rates)])


def _tell_times(row: tuple[Any, ...]) -> CampaignTimes:
    """A line; of each part of the way come its count and its quantiles."""
    parts = zip(row[3::2], row[4::2], strict=True)
    return CampaignTimes(
        *row[:3], *[Times(count, *([round(s, 6) for s in took] if took else [None] * 3)) for count, took in parts]
    )


def _pick(question: UpliftQuestion) -> dict[str, object]:
    return {name: getattr(question, name) for name in ("tenant_id", "campaign_id", "first", "last")}


def _ask(question: Question) -> dict[str, object]:
    asked = asdict(question)
    asked["after_day"], asked["after_name"] = asked.pop("after")
    return asked
