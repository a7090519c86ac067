"""Events and other rows for SQL: each once, whatever is received again, rejected, filed, merged or replaced, in whatever order."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fillip.analyse.day_files import duckdb as day_files
from fillip.analyse.duckdb.bay import DuckdbBay
from fillip.analyse.event import add_events
from fillip.analyse.facts import Load, sift
from fillip.analyse.query.sandbox_duckdb import run
from fillip.analyse.query.task import ANALYSTS, Task
from fillip.core.errors import Retry
from fillip.stream.belt import Record
from fillip.stream.topics import Topics
from tests.analyse.bay_world import decision, emptied, event, incentive, record, rejection, reversal

TOPICS = Topics()
NOW_MS = int(datetime.now(UTC).timestamp() * 1000)


@pytest.fixture(autouse=True)
def _file_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file for every row at once, merged from two on."""
    for name, value in (("MANY_ROWS", 1), ("MERGED_FROM", 2)):
        monkeypatch.setattr(day_files, name, value)


async def load_events(bay: DuckdbBay, offset: int, *values: bytes, partition: int = 0, age_days: int = 0) -> None:
    """Load events as they were received, some days ago."""
    at_ms = NOW_MS - age_days * 86_400_000
    records = [Record(TOPICS.received, partition, offset + n, value, b"", at_ms) for n, value in enumerate(values)]
    load = Load()
    await add_events(load, records, await bay.read_positions())
    await bay.load(load)


async def load(bay: DuckdbBay, topic: str, *messages: dict[str, Any], partition: int = 0) -> None:
    """Load announcements."""
    records = [record(n, message, topic, partition) for n, message in enumerate(messages)]
    await bay.load(sift(records, await bay.read_positions()))


async def reject(bay: DuckdbBay, lsn: int, partition: int, offset: int, reason: str = "unknown_action") -> None:
    """Load the rejection of the event that stands there."""
    received_at = datetime.fromtimestamp(NOW_MS / 1000, UTC).isoformat().replace("+00:00", "Z")
    columns = {"partition": partition, "log_offset": offset, "received_at": received_at, "reason": reason}
    await load(bay, TOPICS.rejected, rejection(lsn, **columns))


async def ask(bay: DuckdbBay, sql: str, tenant_id: str = "acme") -> list[tuple[Any, ...]]:
    """The rows of a SELECT."""
    async with bay.day_files.lend(tenant_id) as files:
        answer = files.folder / "answer"
        task = Task(sql, files.groups, files.struck, "json", str(answer), ANALYSTS)
        outcome = await asyncio.to_thread(run, task)
        assert outcome.refused is None
        return [tuple(row.values()) for row in json.loads(answer.read_text())]


async def test_events_are_read_by_sql_before_and_after_they_are_filed(tmp_path: Path) -> None:
    async with DuckdbBay.open(tmp_path / "a.duckdb", TOPICS) as bay:
        await load_events(bay, 0, event("a", amount=5), event("b", user="u2", time="2026-03-02T00:30:00+01:00"))
        await load_events(bay, 2, event("c", tenant_id="rival"), event("d", tenant_id="../acme"), b"nonsense", b"{}")
        asked = "SELECT id, user_id, action, occurred_at, day, data->>'$.amount' AS amount FROM events ORDER BY id"
        wanted: list[tuple[Any, ...]] = [("a", "u1", "PURCHASE", "2026-03-01T10:00:00.000000Z", "2026-03-01", "5")]
        wanted += [("b", "u2", "PURCHASE", "2026-03-01T23:30:00.000000Z", "2026-03-01", None)]
        assert await ask(bay, asked) == wanted
        assert await bay.day_files.write_out() == 2
        assert await ask(bay, asked) == wanted
        assert await ask(bay, "SELECT id FROM events", "rival") == [("c",)]
        assert {file.relative_to(tmp_path / "bay").parts[:3] for file in (tmp_path / "bay").rglob("*.parquet")} == {
            ("events", "tenant=acme", "day=2026-03-01"),
            ("events", "tenant=rival", "day=2026-03-01"),
        }
        async with bay.day_files.lend("acme") as files:
            assert files.received_at == datetime.fromtimestamp(NOW_MS / 1000, UTC)


async def test_a_rejected_event_is_none_and_its_name_is_free(tmp_path: Path) -> None:
    async with DuckdbBay.open(tmp_path / "a.duckdb", TOPICS) as bay:
        await load_events(bay, 0, event("a", n=1), event("b", n=1), event("c", n=1))
        await bay.day_files.write_out()
        await load_events(bay, 3, event("a", n=2), event("b", n=2))
        await reject(bay, 1, 0, 0)
        await reject(bay, 2, 0, 7)  # before it is loaded
        await load_events(bay, 7, event("d", n=7), event("d", n=8))
        asked = "SELECT id, data->>'$.n' AS n FROM events ORDER BY id"
        assert await ask(bay, asked) == [("a", "2"), ("b", "1"), ("c", "1"), ("d", "8")]


Step = tuple[Any, ...]
STEPS = st.one_of(
    st.tuples(st.just("receive"), st.integers(0, 1), st.lists(st.sampled_from("abcd"), min_size=1, max_size=4)),
    st.tuples(st.just("reject"), st.integers(0, 1), st.integers(0, 5)),
    st.tuples(st.just("write_out")),
    st.tuples(st.just("merge")),
)


@settings(max_examples=20, deadline=None)
@given(st.lists(STEPS, min_size=2, max_size=14))
def test_of_each_name_the_first_receipt_counts_that_was_not_rejected(steps: list[Step]) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        asyncio.run(follow(folder, steps))
    finally:
        shutil.rmtree(folder)


async def follow(folder: Path, steps: Sequence[Step]) -> None:
    """Do the steps, and compare with what must be: a list of receipts and a set of rejected places."""
    receipts: list[tuple[str, tuple[int, int]]] = []
    rejected: set[tuple[int, int]] = set()
    ends = [0, 0]
    async with DuckdbBay.open(folder / "a.duckdb", TOPICS) as bay:
        for number, (what, *how) in enumerate(steps, 1):
            if what == "receive":
                partition, names = how
                placed = [(name, (partition, ends[partition] + n)) for n, name in enumerate(names)]
                values = [event(name, place=list(place)) for name, place in placed]
                await load_events(bay, ends[partition], *values, partition=partition)
                ends[partition] += len(names)
                receipts += placed
            elif what == "reject":
                await reject(bay, number, *how)
                rejected.add((how[0], how[1]))
            else:
                await getattr(bay.day_files, what)()
        found = await ask(bay, "SELECT id, data->>'$.place' AS place FROM events ORDER BY id")
    counting: dict[str, set[tuple[int, int]]] = {}
    for name, place in receipts:
        if place not in rejected:
            counting.setdefault(name, set()).add(place)
    assert [name for name, _ in found] == sorted(counting)  # one of each name, and none of what was only rejected
    assert all(tuple(json.loads(place)) in counting[name] for name, place in found)


async def test_decisions_incentives_reversals_and_rejections_are_read_by_sql(tmp_path: Path) -> None:
    async with DuckdbBay.open(tmp_path / "a.duckdb", TOPICS) as bay:
        await load(bay, TOPICS.decided, decision(1), decision(2), decision(3), decision(4, tenant_id="rival"))
        await load(bay, TOPICS.generated, incentive(1), incentive(2))
        await load(bay, TOPICS.reversed, reversal(9, 1, 100))
        await load(bay, TOPICS.rejected, rejection(1), rejection(2, tenant_id=None))
        asked = """SELECT d.campaign_id, count(*) AS n, sum(i.value) AS given, sum(r.value) AS taken
            FROM decisions d LEFT JOIN incentives i USING (decision_id) LEFT JOIN incentive_reversals r USING (incentive_id)
            GROUP BY ALL"""
        for _ in range(2):
            assert await ask(bay, asked) == [("welcome", 3, 500, 100)]
            assert await ask(bay, "SELECT reason, event_id FROM rejections") == [("unknown_action", None)]
            assert await ask(bay, "SELECT list_sum([r.value FOR r IN rewards]) AS v FROM decisions LIMIT 1") == [(255,)]
            assert await bay.day_files.write_out() in (0, 5)


async def test_a_snapshot_replaces_what_is_filed_partition_by_partition(tmp_path: Path) -> None:
    async with DuckdbBay.open(tmp_path / "a.duckdb", TOPICS) as bay:
        for partition in (0, 1):
            await load(bay, TOPICS.decided, *(decision(n + 10 * partition) for n in (1, 2)), partition=partition)
            await bay.day_files.write_out()
        anew = emptied("decision", 0, "e2"), decision(1, op="r", epoch="e2")
        await load(bay, TOPICS.decided, *anew, partition=0)
        asked = "SELECT event_id FROM decisions ORDER BY event_id"
        assert await ask(bay, asked) == [("e1",), ("e11",), ("e12",)]
        await bay.day_files.write_out()
        assert await bay.day_files.merge() == 1
        assert await ask(bay, asked) == [("e1",), ("e11",), ("e12",)]


async def test_merged_files_stay_for_who_reads_them_and_then_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with DuckdbBay.open(tmp_path / "a.duckdb", TOPICS) as bay:
        for offset in range(3):
            await load_events(bay, offset, event(f"e{offset}"))
            await bay.day_files.write_out()
        async with bay.day_files.lend("acme") as files:
            assert await bay.day_files.merge() == 1
            await bay.day_files.remove(400)
            assert all(Path(path).exists() for group in files.groups["events"] for path in group.paths)
        monkeypatch.setattr(day_files, "KEPT_S", -1)
        await bay.day_files.remove(400)
        assert len(list((tmp_path / "bay").rglob("*.parquet"))) == 1
        assert await ask(bay, "SELECT count(*) AS n FROM events") == [(3,)]


async def test_events_go_by_whole_files_when_they_were_received_too_long_ago(tmp_path: Path) -> None:
    async with DuckdbBay.open(tmp_path / "a.duckdb", TOPICS) as bay:
        await load_events(bay, 0, event("old", time="2026-03-01T10:00:00Z"), age_days=401)
        await bay.day_files.write_out()
        await load_events(bay, 1, event("replayed", time="2016-03-01T10:00:00Z"), age_days=399)
        await bay.day_files.write_out()
        await bay.day_files.remove(400)
        assert await ask(bay, "SELECT id FROM events") == [("replayed",)]


async def test_a_process_that_dies_while_it_files_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(file: Path) -> None:
        shutil.copy(file, file.with_name(f"left-{file.name}.parquet"))
        raise OSError(28, "no space left on device")

    async with DuckdbBay.open(tmp_path / "a.duckdb", TOPICS) as bay:
        await load_events(bay, 0, event("a"), event("b"))
        with monkeypatch.context() as patch:
            patch.setattr(day_files, "_sync", die)
            with pytest.raises(Retry, match="no space"):
                await bay.day_files.write_out()
        assert await ask(bay, "SELECT count(*) AS n FROM events") == [(2,)]
        assert len(list((tmp_path / "bay").rglob("*.parquet"))) == 1
    async with DuckdbBay.open(tmp_path / "a.duckdb", TOPICS) as bay:
        assert list((tmp_path / "bay").rglob("*.parquet")) == []
        assert await bay.day_files.write_out() == 1
        assert await ask(bay, "SELECT count(*) AS n FROM events") == [(2,)]
