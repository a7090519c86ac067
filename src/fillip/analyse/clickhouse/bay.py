"""The facts in one table of ClickHouse. Each load is one INSERT that carries the positions too, and the number after the last one's."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import clickhouse_connect
import msgspec
import structlog
from clickhouse_connect.driver.client import Client
from msgspec import Struct
from msgspec.structs import asdict, astuple

from fillip.analyse.burn import (
    BurnQuestion,
    LimitBurn,
    LimitHour,
    LimitHoursQuestion,
    LimitUse,
    list_since,
    tell_limit,
)
from fillip.analyse.clickhouse.erasing import erase
from fillip.analyse.clickhouse.fact_row import FIRST_DAY, FactRow, count_days, count_us
from fillip.analyse.clickhouse.known import fetch_standing
from fillip.analyse.clickhouse.standing import fold, list_missing
from fillip.analyse.clickhouse.statements import SQL
from fillip.analyse.clickhouse.writing import KINDS, list_writers, number_rows, write_rows
from fillip.analyse.facts import Load, Mark, Position
from fillip.analyse.funnel import FunnelQuestion, QuestFunnel, tell_step
from fillip.analyse.level import LevelDay, LevelMove
from fillip.analyse.liability import ExpiryQuestion, Liability, LiabilityExpiry, LiabilityMovement, LiabilityQuestion
from fillip.analyse.report import CampaignDay, CampaignVariant, Question, RejectionDay
from fillip.analyse.spend import Spend
from fillip.analyse.times import CampaignTimes, Times
from fillip.analyse.uplift import UpliftQuestion
from fillip.core.errors import Retry
from fillip.core.instant import MIN_TIME
from fillip.http.erasure_order import ErasureOrder
from fillip.stream.topics import Partition, Topics

CONNECT_WITHIN_S, ANSWER_WITHIN_S = 5, 60
REPORTS_AT_ONCE, LONGEST_REPORT_S = 4, 30
LONGEST_ERROR = 2_000
MOST = 2**63 - 1
COLUMNS = FactRow.__struct_fields__
WHOLE: dict[str, Any] = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "min_insert_block_size_rows": 1_000_000_000,
    "min_insert_block_size_bytes": 1_000_000_000_000,
    "max_execution_time": ANSWER_WITHIN_S,
}
"""The server leaves the block of a load whole, whose insertion is atomic, and drops it where the load of that number is there."""

log = structlog.get_logger()

Answer = TypeVar("Answer")
Connect = Callable[[], Client]


class State(Struct, frozen=True):
    """What stands after load `number`, made by `attempt`: the positions, and from which load on facts count.

    `since` is by kind and partition; what came before was replaced by a snapshot.
    """

    number: int = 0
    attempt: str = ""
    positions: list[Position] = []
    since: dict[str, list[int]] = {}


class ClickhouseBay:
    """Bay in ClickHouse. Whatever the server says or leaves unsaid is a Retry: it ends no process."""

    def __init__(self, connect: Connect, topics: Topics) -> None:
        """Connects when it is first asked, and again where it failed."""
        self._connect = connect
        self._client: Client | None = None
        self._writers = list_writers(topics)
        self._state: State | None = None
        self._loads = ThreadPoolExecutor(1, thread_name_prefix="clickhouse-load")
        self._reports = ThreadPoolExecutor(REPORTS_AT_ONCE, thread_name_prefix="clickhouse-report")
        self._checks = ThreadPoolExecutor(1, thread_name_prefix="clickhouse-check")
        self._erasures = ThreadPoolExecutor(1, thread_name_prefix="clickhouse-erasure")

    @classmethod
    @asynccontextmanager
    async def open(cls, connect: Connect, topics: Topics) -> AsyncIterator[Self]:
        """The server may be away."""
        bay = cls(connect, topics)
        try:
            yield bay
        finally:
            for threads in (bay._loads, bay._reports, bay._checks, bay._erasures):
                await asyncio.to_thread(threads.shutdown, cancel_futures=True)
            if bay._client is not None:
                await asyncio.to_thread(bay._client.close)

    async def check(self) -> None:
        """Go to the server and back. Raises Retry."""
        await self._run(lambda client: client.query("SELECT 1"), self._checks)

    async def read_positions(self) -> Mapping[Partition, Position]:
        """See Bay."""
        state = await self._read_state()
        return {(position.topic, position.partition): position for position in state.positions}

    async def read_mark(self, tenant_id: str) -> Mark | None:
        """See Bay."""
        [(committed_at_us,)] = await self._report("mark", {"tenant_id": tenant_id})
        return Mark(tenant_id, committed_at_us) if committed_at_us else None

    async def load(self, load: Load) -> None:
        """See Bay. Raises Retry too where another process has loaded meanwhile."""
        known = await self._read_state()
        try:
            self._state = await self._run(partial(self._load, load, known), self._loads)
        except BaseException:
            self._state = None  # perhaps it is there all the same
            raise

    async def erase(self, order: ErasureOrder) -> str:
        """Write what is held of a user anew, a portion of it. "" once nothing of the user is left, else what is to be waited for."""
        bounds = _bound(await self._read_state())
        return await self._run(partial(erase, order=order, bounds=bounds), self._erasures)

    async def report_campaign_days(self, question: Question) -> Sequence[CampaignDay]:
        """See Bay."""
        return [
            CampaignDay(
                _tell_day(day),
                campaign_id,
                granted,
                issued,
                denied,
                [Spend(*s) for s in spend],
                users,
                [Spend(*s) for s in would],
            )
            for day, campaign_id, granted, issued, denied, spend, users, would in await self._report(
                "campaign_days", _ask(question)
            )
        ]

    async def report_campaign_variants(self, question: Question) -> Sequence[CampaignVariant]:
        """See Bay."""
        return [
            CampaignVariant(variant, users, granted, issued, denied, [Spend(*s) for s in spend], unique_users)
            for variant, users, granted, issued, denied, spend, unique_users in await self._report(
                "campaign_variants", _ask(question)
            )
        ]

    async def report_rejection_days(self, question: Question) -> Sequence[RejectionDay]:
        """See Bay."""
        rows = await self._report("rejection_days", _ask(question))
        return [RejectionDay(_tell_day(day), reason, count) for day, reason, count in rows]

    async def report_level_days(self, question: Question, zone: str) -> Sequence[LevelDay]:
        """See Bay."""
        rows = await self._report("level_days", _ask(question) | {"zone": zone})
        return [
            LevelDay(_tell_day(day), currency, up, down, renamed, [LevelMove(*each) for each in moves])
            for day, currency, up, down, renamed, moves in rows
        ]

    async def report_liability(self, question: LiabilityQuestion) -> Sequence[Liability]:
        """See Bay."""
        rows = await self._report("liability", _ask_instants(question))
        return [Liability(currency, *map(_fit, sums)) for currency, *sums in rows]

    async def report_liability_movements(self, question: LiabilityQuestion) -> Sequence[LiabilityMovement]:
        """See Bay."""
        rows = await self._report("liability_movements", _ask_instants(question))
        return [LiabilityMovement(currency, *map(_fit, sums)) for currency, *sums in rows]

    async def report_liability_expiries(self, question: ExpiryQuestion) -> Sequence[LiabilityExpiry]:
        """See Bay."""
        asked = {"at_us": count_us(question.at)} | {
            name: value for name, value in asdict(question).items() if name != "at"
        }
        rows = await self._report("liability_expiries", asked)
        return [LiabilityExpiry(currency, expires, _fit(held)) for currency, expires, held in rows]

    async def report_campaign_times(self, question: Question) -> Sequence[CampaignTimes]:
        """See Bay."""
        return [_tell_times(row) for row in await self._report("campaign_times", _ask(question))]

    async def read_time_zone(self, tenant_id: str) -> str | None:
        """See Bay."""
        found = await self._report("time_zone", {"tenant_id": tenant_id})
        return str(found[0][0]) if found else None

    async def report_limit_burn(self, question: BurnQuestion) -> Sequence[LimitBurn]:
        """See Bay."""
        asked = {name: getattr(question, name) for name in ("tenant_id", "count", "after_limit", "after_key")}
        windows: dict[str, object] = {
            "windows": [f"{each.span} {each.week_starts_on or ''}" for each in question.windows],
            "starts": [count_days(each.start) for each in question.windows],
        }
        since = zip(("day_since", "week_since"), map(count_us, list_since(question.now)), strict=True)
        rows = await self._report("limit_burn", asked | windows | dict(since))
        return [tell_limit(question.now, _read_use(question, row)) for row in rows]

    async def report_limit_hours(self, question: LimitHoursQuestion) -> Sequence[LimitHour]:
        """See Bay."""
        rows = await self._report("limit_hours", _ask_instants(question))
        return [LimitHour(_tell_instant(hour), _fit(used)) for hour, used in rows]

    async def report_quest_funnel(self, question: FunnelQuestion) -> Sequence[QuestFunnel]:
        """See Bay."""
        rows = await self._report("quest_funnel", _ask_instants(question))
        told = [[*counts, [tell_step(*step, *took) for _, *step, took in steps]] for *counts, steps in rows]
        return [QuestFunnel(*line) for line in told]

    async def is_of_quest(self, question: UpliftQuestion) -> bool:
        """See Bay."""
        [(is_one,)] = await self._report("uplift_quest", _pick(question))
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
            "met": await self._write("uplift_met", _pick(question), folder / "met.parquet"),
            "question": await self._write("uplift_question", asked, folder / "question.parquet"),
        }

    async def _report(self, name: str, asked: Mapping[str, object]) -> Sequence[Sequence[Any]]:
        bounds = _bound(await self._read_state())
        settings = {"max_execution_time": LONGEST_REPORT_S}
        return await self._run(
            lambda client: client.query(SQL[name], parameters={**asked, **bounds}, settings=settings).result_rows,
            self._reports,
        )

    async def _write(self, name: str, asked: Mapping[str, object], file: Path) -> str:
        parameters = {**asked, **_bound(await self._read_state())}

        def write(client: Client) -> str:
            settings = {"max_execution_time": LONGEST_REPORT_S}
            with (
                client.raw_stream(SQL[name], parameters=parameters, settings=settings, fmt="Parquet") as found,
                file.open("wb") as opened,
            ):
                shutil.copyfileobj(found, opened)
            return str(file)

        return await self._run(write, self._reports)

    async def _read_state(self) -> State:
        """Kept in memory after the first reading: nobody else loads, and if somebody does, the next load finds out."""
        if self._state is None:
            found = await self._run(_fetch_state, self._reports)
            self._state = self._state or found
        return self._state

    async def _run(self, work: Callable[[Client], Answer], threads: ThreadPoolExecutor) -> Answer:
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, lambda: work(self._reach()))
        except Retry:
            raise
        except Exception as error:
            told = f"{type(error).__name__}: {error}"[
                :LONGEST_ERROR
            ]  # for the operator: it may quote addresses and rows
            log.warning("ClickHouse can't be used now", error=told)
            raise Retry("the facts can't be reached now; the server's log tells why") from error

    def _reach(self) -> Client:
        """The client, connected and with the tables made. Two threads may do it at once."""
        if self._client is None:
            client = self._connect()
            for name in ("schema", "schema_week", "schema_set_aside"):
                client.command(SQL[name])
            for kind, since in _fetch_state(client).since.items():
                client.command(SQL["drop_forgotten"], parameters={"kind": kind, "since": since})
            self._client = client
        return self._client

    def _load(self, load: Load, known: State, client: Client) -> State:
        written, made = write_rows(load, self._writers), self._move(load, known)
        standing, unknown = fold(written.standing, fetch_standing(client, list_missing(written.standing), made.since))
        load.asides += [*written.asides, *unknown]
        if load.asides:
            names = ("topic", "partition", "record_offset", "error", "value")
            client.insert("set_aside", [astuple(aside) for aside in load.asides], column_names=names)
        state = FactRow(kind="position", version=made.number, state=msgspec.json.encode(made).decode())
        rows = number_rows(load, made.number, made.since, written.once, standing)
        values = [astuple(row) for row in (*rows, state)]
        settings = WHOLE | {"insert_deduplication_token": str(made.number)}
        whole = client.create_insert_context("fact", COLUMNS, data=values, settings=settings)
        whole.block_row_count = len(values)  # the driver would make blocks of 2 MB
        client.insert(context=whole)
        stored = _fetch_state(client)
        if stored.attempt != made.attempt:
            raise Retry(f"another attempt has made load {made.number}")
        return stored

    def _move(self, load: Load, known: State) -> State:
        """What stands after the load."""
        positions = {(position.topic, position.partition): position for position in known.positions} | load.positions
        since = {kind: list(numbers) for kind, numbers in known.since.items()}
        for topic, partition in load.renewed:
            for kind in self._writers[topic].kinds if topic in self._writers else ():
                numbers = since.setdefault(kind, [])
                numbers += [0] * (partition + 1 - len(numbers))
                numbers[partition] = known.number + 1
        return State(known.number + 1, uuid4().hex, list(positions.values()), since)


def connect_clickhouse(url: str, authorities: Path | None) -> Client:
    """A client for http(s)://user:password@host:port/database, which has to exist. `authorities`: a file of those to trust."""
    parts = urlsplit(url)
    return clickhouse_connect.get_client(
        interface=parts.scheme,
        host=parts.hostname,
        port=parts.port or 0,
        username=unquote(parts.username or "default"),
        password=unquote(parts.password or ""),
        database=parts.path.strip("/") or "default",
        ca_cert=None if authorities is None else str(authorities),
        connect_timeout=CONNECT_WITHIN_S,
        send_receive_timeout=ANSWER_WITHIN_S,
        form_encode_query_params=True,  # a URL has no room for many, and is logged on the way
        autogenerate_session_id=False,  # a session takes one statement at a time
    )


def _fetch_state(client: Client) -> State:
    rows = client.query(SQL["state"]).result_rows
    return msgspec.json.decode(rows[0][0], type=State) if rows else State()


def _bound(state: State) -> dict[str, object]:
    """What is to be seen: exactly what stood after one load, whatever is inserted meanwhile."""
    return {"newest": state.number} | {f"since_{kind}": state.since.get(kind, []) for kind in KINDS}


def _fit(total: int) -> int:
    """The sum as JSON's readers can hold it: of many users it may be beyond."""
    return max(-MOST, min(total, MOST))


def _tell_day(number: int) -> date:
    return FIRST_DAY + timedelta(days=number)


def _tell_instant(us: int) -> datetime:
    return MIN_TIME + timedelta(microseconds=us)


def _pick(question: UpliftQuestion) -> dict[str, object]:
    span = {"first": count_days(question.first), "last": count_days(question.last)}
    return {"tenant_id": question.tenant_id, "campaign_id": question.campaign_id, **span}


def _ask(question: Question) -> dict[str, object]:
    asked = asdict(question)
    after_day, asked["after_name"] = asked.pop("after")
    days = {"first": question.first, "last": question.last, "after_day": after_day}
    return asked | {name: count_days(day) for name, day in days.items()}


def _ask_instants(question: LiabilityQuestion | LimitHoursQuestion | FunnelQuestion) -> dict[str, object]:
    return {name: count_us(value) if isinstance(value, datetime) else value for name, value in asdict(question).items()}


def _read_use(question: BurnQuestion, row: Sequence[Any]) -> LimitUse:
    limit_id, key, span, measure, place, cap, used, first_us, *rates = row
    window = question.windows[place - 1]  # counted from 1
    first_hour = _tell_instant(first_us) if first_us else None
    told = [limit_id, key, span, measure, window.start, window.ends_at, cap, used, first_hour, *map(_fit, rates)]
    return LimitUse(*told)


def _tell_times(row: Sequence[Any]) -> CampaignTimes:
    """A line; of each part of the way come its count and its quantiles."""
    day, campaign_id, granted, *told = row
    parts = zip(told[::2], told[1::2], strict=True)
    times = [Times(count, *[round(each, 6) if count else None for each in took]) for count, took in parts]
    return CampaignTimes(_tell_day(day), campaign_id, granted, *times)
