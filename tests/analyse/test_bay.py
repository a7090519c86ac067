"""The facts on real Kafka and DuckDB: each announcement counts once (invariant I8)."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # exported all the same
from msgspec.structs import replace

from fillip.analyse import facts, keep_loading
from fillip.analyse.duckdb import bay
from fillip.analyse.duckdb.bay import DuckdbBay
from fillip.analyse.loader import SET_ASIDE
from fillip.analyse.report import CampaignDay, CampaignVariant, RejectionDay
from fillip.analyse.spend import Spend
from fillip.core.errors import Crash
from tests.analyse.bay_world import (
    EVERYTHING,
    WITHIN_S,
    BayWorld,
    count,
    decision,
    emptied,
    event,
    rejection,
    reversal,
    until,
    until_count,
)
from tests.analyse.dying_loader import MOMENTS

ROOT, DYING_LOADER = Path(__file__).parents[2], "tests.analyse.dying_loader"


async def test_counts_by_campaign_and_day(bay_world: BayWorld) -> None:
    await bay_world.produce(
        *map(decision, range(1, 10)),
        decision(30, reason="late"),
        decision(31, campaign_id="quest", local_day="2026-03-02", reward_values=[{"kind": "badge", "value": 0}]),
        decision(32, tenant_id="rival", user_id="u1"),
    )
    async with bay_world.loading() as bay:
        await until_count(bay, 11)
        first, second = await bay.report_campaign_days(EVERYTHING)
        spend = [Spend("cashback", "EUR", 6, 1500, 0), Spend("points", None, 6, 30, 0)]
        assert first == CampaignDay(date(2026, 3, 1), "welcome", 6, 12, {"limit": 3, "late": 1}, spend, 5, [])
        assert second == CampaignDay(date(2026, 3, 2), "quest", 1, 1, {}, [Spend("badge", None, 1, 0, 0)], 1, [])
        later = replace(EVERYTHING, first=date(2026, 3, 2))
        assert await bay.report_campaign_days(later) == [second]
        assert await bay.report_campaign_days(replace(EVERYTHING, campaign_id="quest")) == [second]
        assert await bay.report_campaign_days(replace(EVERYTHING, after=(first.day, "welcome"))) == [second]
        assert await bay.report_campaign_days(replace(EVERYTHING, tenant_id="nobody")) == []


async def test_counts_by_variant(bay_world: BayWorld) -> None:
    """Given a control, one variant whose grants were taken back in part, and users who are in none."""
    denied: dict[str, Any] = {"outcome": "denied", "reason": "control", "reward_values": []}
    await bay_world.produce(
        *(decision(number, variant="none", user_id=f"c{number % 3}", **denied) for number in range(1, 7)),
        *(decision(number, variant="some", local_day="2026-03-04") for number in (7, 8, 12)),
        decision(14, reason="holdout", outcome="denied", reward_values=[], variant=None),
        decision(15, campaign_id="other", variant="some"),
        decision(16, tenant_id="rival", variant="some"),
        reversal(20, 7, 100),
    )
    asked = replace(EVERYTHING, campaign_id="welcome")
    spend = [Spend("cashback", "EUR", 2, 500, 100), Spend("points", None, 2, 10, 0)]
    control = CampaignVariant("none", 3, 0, 0, {"control": 6}, [], 0)
    async with bay_world.loading() as bay:

        async def has_all() -> bool:
            found = await bay.report_campaign_variants(asked)
            return list(found) == [control, CampaignVariant("some", 2, 2, 4, {"limit": 1}, spend, 2)]

        await until(has_all)
        assert await bay.report_campaign_variants(replace(asked, last=date(2026, 3, 3))) == [control]


async def test_what_a_shadow_would_have_given_is_told_by_day_and_not_as_given(bay_world: BayWorld) -> None:
    """Beside what the campaign gave since its launch; a variant has only what was since."""
    told: dict[str, Any] = {"outcome": "denied", "reason": "shadow", "shadow": True, "variant": "some"}
    held: dict[str, Any] = {"outcome": "denied", "reason": "holdout", "shadow": True, "reward_values": []}
    await bay_world.produce(
        decision(1, **told), decision(2, **told), decision(3, **held), decision(4, variant="some"), decision(7)
    )
    async with bay_world.loading() as bay:
        await until_count(bay, 5)
        (day,) = await bay.report_campaign_days(EVERYTHING)
        assert (day.granted, day.denied) == (2, {"shadow": 2, "holdout": 1})
        assert day.spend == day.shadow_spend == [Spend("cashback", "EUR", 2, 500, 0), Spend("points", None, 2, 10, 0)]
        (line,) = await bay.report_campaign_variants(replace(EVERYTHING, campaign_id="welcome"))
        assert (line.users, line.granted, line.denied) == (1, 1, {})


async def test_a_file_of_before_there_were_variants_is_taken_on(bay_world: BayWorld) -> None:
    await bay_world.produce(decision(1))
    async with bay_world.loading() as bay:
        await until_count(bay, 1)
    with duckdb.connect(str(bay_world.file)) as file:
        for column in ("variant", "occurred_at", "of_quest", "shadow"):
            file.execute(f"ALTER TABLE decision_fact DROP COLUMN {column}")
    await bay_world.produce(decision(2, variant="some"))
    async with bay_world.loading() as bay:
        await until_count(bay, 2)
        (line,) = await bay.report_campaign_variants(replace(EVERYTHING, campaign_id="welcome"))
        assert (line.variant, line.granted) == ("some", 1)


async def test_what_was_taken_back_counts_on_the_day_of_its_grant_once(bay_world: BayWorld) -> None:
    back = [
        reversal(10, 1, 100),
        reversal(11, 1, 150),
        reversal(12, 2, 50),
        reversal(13, 2, 5, kind="points", currency=None),
    ]
    await bay_world.produce(decision(1), decision(2), decision(4, local_day="2026-03-02"), *back, back[0])

    async with bay_world.loading() as bay:

        async def has_all() -> bool:
            days = await bay.report_campaign_days(EVERYTHING)
            wanted = [[Spend("cashback", "EUR", 2, 500, 300), Spend("points", None, 2, 10, 5)]]
            wanted += [[Spend("cashback", "EUR", 1, 250, 0), Spend("points", None, 1, 5, 0)]]
            return [day.spend for day in days] == wanted

        await until(has_all)


async def test_rejections_by_reason_and_day(bay_world: BayWorld) -> None:
    await bay_world.produce(
        rejection(1), rejection(2), rejection(3, reason="undecodable", tenant_id=None), rejection(2), decision(1)
    )
    async with bay_world.loading() as bay:
        await until_count(bay, 1)
        await until(lambda: has_rejections(bay, [RejectionDay(date(2026, 3, 1), "unknown_action", 2)]))


async def has_events(bay: DuckdbBay, wanted: int) -> bool:
    """Whether so many events of acme are there, each once."""
    async with bay.day_files.lend("acme") as files:
        paths = [path for group in files.groups["events"] for path in group.paths]
        ids = duckdb.read_parquet(paths).project("id").fetchall() if paths else []
    assert len(ids) == len(set(ids))
    return len(ids) == wanted


async def has_rejections(bay: DuckdbBay, wanted: list[RejectionDay]) -> bool:
    return await bay.report_rejection_days(EVERYTHING) == wanted


async def test_announced_twice_counts_once(bay_world: BayWorld) -> None:
    await bay_world.produce(*map(decision, range(1, 101)))
    async with bay_world.loading() as bay:
        await until_count(bay, 100)
        await bay_world.produce(*map(decision, range(50, 111)))
        await until_count(bay, 110)


async def test_a_snapshot_replaces_what_was_there(bay_world: BayWorld) -> None:
    await bay_world.produce(*map(decision, range(1, 101)))
    async with bay_world.loading() as bay:
        await until_count(bay, 100)
        await bay_world.produce_emptied(bay_world.topics.decided, emptied("decision", 1, "e2"))
        await bay_world.produce(*(decision(n, op="r", epoch="e2") for n in range(2, 42)))
        await until_count(bay, 40)
        await bay_world.produce(decision(42, epoch="e2"), decision(43, epoch="e2"))
        await until_count(bay, 42)


async def test_stopped_and_started_goes_on_where_it_was(bay_world: BayWorld) -> None:
    total = 0
    for part in range(4):
        await bay_world.produce(*map(decision, range(part * 500 + 1, part * 500 + 501)))
        async with bay_world.loading() as bay:
            await until_count(bay, total + 500)
        total += 500
    async with bay_world.bay() as bay:
        assert sum(p.next_offset for p in (await bay.read_positions()).values()) == 2000


async def test_killed_at_any_moment_counts_once(bay_world: BayWorld, tmp_path: Path) -> None:
    for turn, moment in enumerate(MOMENTS):
        await bay_world.produce(*map(decision, range(turn * 4000 + 1, turn * 4000 + 4001)))
        await bay_world.produce_events(*(event(f"e{n}") for n in range(turn * 900, turn * 900 + 1000)))
        arguments = [moment, bay_world.bootstrap, str(tmp_path), bay_world.topics.prefix]
        loader = await asyncio.create_subprocess_exec(sys.executable, "-m", DYING_LOADER, *arguments, cwd=ROOT)
        async with asyncio.timeout(WITHIN_S):
            assert await loader.wait() == -signal.SIGKILL
    async with bay_world.loading() as bay:
        await until_count(bay, 20_000)
        await until(lambda: has_events(bay, 4600))
    with duckdb.connect(str(bay_world.file)) as facts:
        assert facts.execute("SELECT count(DISTINCT decision_id) FROM decision_fact").fetchone() == (20_000,)


async def test_rows_that_cant_be_loaded_are_set_aside_and_the_others_count(bay_world: BayWorld) -> None:
    topic = bay_world.topics.decided
    before = SET_ASIDE.labels(topic)._value.get()
    spoilt = [
        decision(11, local_day="no day"),
        decision(12, local_day=None),
        decision(13, reward_values=[{"kind": "points", "value": 10**30}]),
        decision(14, decision_id="x"),
        decision(15, reward_values="none"),
        decision(16, tenant_id=None),
    ]
    await bay_world.produce(*map(decision, range(1, 11)), *spoilt, *map(decision, range(17, 21)))
    await bay_world.producer.send(topic, b"acme:u", b"nonsense")
    await bay_world.produce(rejection(1), rejection(2, received_at="soon"), reversal(50, 1, 5, decision_id="x"))
    async with bay_world.loading() as bay:
        await until_count(bay, 14)
        await until(lambda: has_rejections(bay, [RejectionDay(date(2026, 3, 1), "unknown_action", 1)]))
        await until(lambda: has_set_aside(before + 7, topic))
    with duckdb.connect(str(bay_world.file)) as facts:
        told = facts.execute("SELECT topic, count(*), count(error) FROM set_aside GROUP BY 1 ORDER BY 2").fetchall()
    assert sorted(told) == sorted([(bay_world.topics.reversed, 1, 1), (bay_world.topics.rejected, 1, 1), (topic, 7, 7)])


async def has_set_aside(wanted: float, topic: str) -> bool:
    return SET_ASIDE.labels(topic)._value.get() == wanted


@pytest.mark.parametrize("place", ["sift", "load"])
async def test_a_fault_that_nobody_foresaw_costs_its_row_alone(
    bay_world: BayWorld, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    real: Callable[..., object] = facts._take if place == "sift" else bay._join

    def planted(*arguments: Any) -> object:
        found = arguments[1:2] if place == "sift" else arguments[0]
        if any(b'"e7"' in record.value for record in found):
            raise ZeroDivisionError("planted")
        return real(*arguments)

    monkeypatch.setattr(facts if place == "sift" else bay, real.__name__, planted)
    await bay_world.produce(*map(decision, range(1, 21)))
    async with bay_world.loading() as loaded:
        await until_count(loaded, 19)
    with duckdb.connect(str(bay_world.file)) as file:
        [(error, value)] = file.execute("SELECT error, value FROM set_aside").fetchall()
    assert (error, b'"e7"' in value) == ("ZeroDivisionError: planted", True)


async def test_a_load_that_fails_by_no_row_changes_nothing(bay_world: BayWorld) -> None:
    await bay_world.produce(*map(decision, range(1, 11)))
    async with bay_world.loading() as bay:
        await until_count(bay, 10)
    await bay_world.produce(decision(11))
    async with bay_world.bay() as bay:
        bay._connection.execute("ALTER TABLE decision_fact RENAME TO lost")
        with pytest.raises(Crash, match="decision_fact"):
            await asyncio.wait_for(keep_loading(bay, bay_world.open_tail, bay_world.topics.received), 20)
        bay._connection.execute("ALTER TABLE lost RENAME TO decision_fact")
        assert await count(bay) == 10
        assert sum(p.next_offset for p in (await bay.read_positions()).values()) == 10


async def test_sums_beyond_what_a_number_holds_stop_no_report(bay_world: BayWorld) -> None:
    much = [{"kind": "points", "value": 2**63 - 1}]
    await bay_world.produce(*(decision(number, reward_values=much) for number in (1, 2, 4)))
    async with bay_world.loading() as bay:
        await until_count(bay, 3)
        (day,) = await bay.report_campaign_days(EVERYTHING)
    assert day.spend == [Spend("points", None, 3, 2**63 - 1, 0)]


async def test_a_topic_that_was_made_anew_or_cut_short_is_read_from_its_beginning(bay_world: BayWorld) -> None:
    await bay_world.produce(*map(decision, range(1, 101)))
    async with bay_world.loading() as bay:
        await until_count(bay, 100)
        # when it is made anew while it is being read, what comes then counts
        await asyncio.to_thread(make_anew, bay_world.bootstrap, bay_world.topics.decided)
        await bay_world.connect_anew()
        await bay_world.produce(*map(decision, range(101, 111)))
        await until_count(bay, 110)
    # and so does what is left where the log has passed the place meanwhile
    await bay_world.produce(*map(decision, range(111, 121)))
    await asyncio.to_thread(cut_short, bay_world.bootstrap, bay_world.topics.decided)
    await bay_world.produce(*map(decision, range(121, 131)))
    async with bay_world.loading() as bay:
        await until_count(bay, 120)


def make_anew(bootstrap: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.delete_topics([topic])[topic].result()
    while True:
        try:
            admin.create_topics([NewTopic(topic, num_partitions=2, replication_factor=1)])[topic].result()
            break
        except KafkaException:  # the deletion is not done yet
            time.sleep(0.1)


def cut_short(bootstrap: str, topic: str) -> None:
    """Throw away all that is there."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for done in admin.delete_records([TopicPartition(topic, number, -1) for number in range(2)]).values():
        done.result()


async def test_one_process_owns_the_file(bay_world: BayWorld, tmp_path: Path) -> None:
    async with bay_world.bay():
        again = f"import duckdb; duckdb.connect({str(bay_world.file)!r})"
        other = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", again], capture_output=True, check=False)
        assert b"lock" in other.stderr
    (tmp_path / "analyse.duckdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(Crash, match=r"analyse\.duckdb can't be opened"):
        async with bay_world.bay():
            pass


async def test_sql_cannot_leave_the_file(bay_world: BayWorld) -> None:
    async with bay_world.bay() as bay:
        reading, loosening = "SELECT * FROM read_text('/etc/passwd')", "SET enable_external_access = true"
        for escape in (reading, loosening, "ATTACH 'other.duckdb'", "COPY loaded TO 'out.csv'"):
            with pytest.raises(duckdb.Error):
                bay._connection.execute(escape)
