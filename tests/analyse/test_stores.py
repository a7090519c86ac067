"""One contract for both stores of the facts. What DuckDB's own tests say of its file and of Kafka stands in test_bay.py."""

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
from msgspec.structs import replace

from fillip.analyse.level import LevelDay, LevelMove
from fillip.analyse.liability import Liability, LiabilityMovement
from fillip.analyse.report import Bay, CampaignDay, CampaignVariant, RejectionDay
from fillip.analyse.spend import Spend
from fillip.analyse.uplift import UpliftQuestion
from tests.analyse.bay_world import EVERYTHING, decision, emptied, level, rejection, reversal, transfer
from tests.analyse.stores import load
from tests.analyse.test_liability import LIFE, ask, day

QUESTION = UpliftQuestion("acme", "welcome", "PURCHASE", None, date.min, date.max, 7)


async def test_an_empty_store_has_nothing(store: Bay) -> None:
    assert await store.read_positions() == {}
    assert await store.read_mark("acme") is None
    assert await store.report_campaign_days(EVERYTHING) == []
    assert await store.report_liability(ask()) == []
    assert not await store.is_of_quest(QUESTION)


async def test_decisions_by_campaign_and_day(store: Bay) -> None:
    await load(
        store,
        *map(decision, range(1, 10)),
        decision(30, reason="late"),
        decision(31, campaign_id="quest", local_day="9998-03-02", reward_values=[{"kind": "badge", "value": 0}]),
        decision(32, tenant_id="rival", user_id="u1"),
        reversal(40, 1, 100),
        reversal(41, 2, 5, kind="points", currency=None),
    )
    first, second = await store.report_campaign_days(EVERYTHING)
    spend = [Spend("cashback", "EUR", 6, 1500, 100), Spend("points", None, 6, 30, 5)]
    assert first == CampaignDay(date(2026, 3, 1), "welcome", 6, 12, {"limit": 3, "late": 1}, spend, 5, [])
    assert second == CampaignDay(date(9998, 3, 2), "quest", 1, 1, {}, [Spend("badge", None, 1, 0, 0)], 1, [])
    assert await store.report_campaign_days(replace(EVERYTHING, count=1)) == [first]
    assert await store.report_campaign_days(replace(EVERYTHING, after=(first.day, "welcome"))) == [second]
    assert await store.report_campaign_days(replace(EVERYTHING, campaign_id="quest")) == [second]
    assert await store.report_campaign_days(replace(EVERYTHING, last=date(2026, 3, 1))) == [first]
    assert await store.report_campaign_days(replace(EVERYTHING, tenant_id="nobody' OR 1=1")) == []
    mark = await store.read_mark("acme")
    assert mark is not None and mark.committed_at_us == 41_000_000


async def test_decisions_by_variant(store: Bay) -> None:
    denied: dict[str, Any] = {"outcome": "denied", "reason": "control", "reward_values": []}
    await load(
        store,
        *(decision(number, variant="none", user_id=f"c{number % 3}", **denied) for number in range(1, 7)),
        *(decision(number, variant="some") for number in (7, 8, 12)),
        decision(14, reason="holdout", outcome="denied", reward_values=[], variant=None),
        decision(16, tenant_id="rival", variant="some"),
        reversal(20, 7, 100),
    )
    spend = [Spend("cashback", "EUR", 2, 500, 100), Spend("points", None, 2, 10, 0)]
    wanted = [CampaignVariant("none", 3, 0, 0, {"control": 6}, [], 0)]
    wanted += [CampaignVariant("some", 2, 2, 4, {"limit": 1}, spend, 2)]
    assert await store.report_campaign_variants(replace(EVERYTHING, campaign_id="welcome")) == wanted


async def test_a_shadow_is_told_by_day_and_left_out_elsewhere(store: Bay, tmp_path: Path) -> None:
    told: dict[str, Any] = {"outcome": "denied", "shadow": True, "variant": "some", "instance": "2026"}
    await load(store, decision(1, reason="shadow", **told), decision(2, reason="late", **told))
    (line,) = await store.report_campaign_days(EVERYTHING)
    would = [Spend("cashback", "EUR", 1, 250, 0), Spend("points", None, 1, 5, 0)]
    assert line == CampaignDay(date(2026, 3, 1), "welcome", 0, 0, {"shadow": 1, "late": 1}, [], 0, would)
    assert await store.report_campaign_variants(replace(EVERYTHING, campaign_id="welcome")) == []
    assert not await store.is_of_quest(QUESTION)
    folder = tmp_path / "bay"  # where DuckDB may write
    folder.mkdir(exist_ok=True)
    assert duckdb.read_parquet((await store.write_met(QUESTION, folder))["met"]).fetchall() == []


async def test_rejections_by_day_and_reason(store: Bay) -> None:
    late = rejection(4, reason="late", received_at="2026-03-02T00:00:00.000000Z")
    await load(store, rejection(1), rejection(2), rejection(3, tenant_id=None), late)
    first, second = RejectionDay(date(2026, 3, 1), "unknown_action", 2), RejectionDay(date(2026, 3, 2), "late", 1)
    assert await store.report_rejection_days(EVERYTHING) == [first, second]
    assert await store.report_rejection_days(replace(EVERYTHING, after=(first.day, first.reason))) == [second]


async def test_changes_of_levels_by_day_of_the_tenant(store: Bay) -> None:
    """Given users who rise, and who fall when the year ends in Berlin, an hour before it does in UTC; then a snapshot in their place."""
    rise, fall = ("bronze", "silver"), ("gold", "bronze")
    log = await load(
        store,
        *(level(number, "up", rise, "2026-12-31T22:59:59.999999Z") for number in (1, 2)),
        level(3, "down", fall, "2026-12-31T23:00:00.000000Z"),
        level(4, "up", ("silver", "gold"), "2026-12-31T23:00:01.000000Z"),
        level(5, "renamed", ("gold", "oro"), "2027-01-01T22:00:00.000000Z", currency="STARS"),
        level(6, "up", rise, "2027-01-01T12:00:00.000000Z", tenant_id="rival"),
        level(3, "down", fall, "2026-12-31T23:00:00.000000Z"),
    )
    old, new = date(2026, 12, 31), date(2027, 1, 1)
    moves = [LevelMove("down", *fall, 1), LevelMove("up", "silver", "gold", 1)]
    wanted = [
        LevelDay(old, "POINTS", 2, 0, 0, [LevelMove("up", *rise, 2)]),
        LevelDay(new, "POINTS", 1, 1, 0, moves),
        LevelDay(new, "STARS", 0, 0, 1, [LevelMove("renamed", "gold", "oro", 1)]),
    ]
    assert await store.report_level_days(EVERYTHING, "Europe/Berlin") == wanted
    assert await store.report_level_days(replace(EVERYTHING, after=(new, "POINTS")), "Europe/Berlin") == wanted[2:]
    assert await store.report_level_days(replace(EVERYTHING, last=old, count=1), "Europe/Berlin") == wanted[:1]
    assert [line.day for line in await store.report_level_days(EVERYTHING, "UTC")] == [old, new]
    again = level(1, "up", rise, "2026-12-31T22:59:59.999999Z", op="r", epoch="e2")
    await load(store, emptied("level_change", 0, "e2"), again, level(9, "up", ("a", "b"), "soon", epoch="e2"), log=log)
    (line,) = await store.report_level_days(EVERYTHING, "Europe/Berlin")
    assert (line.day, line.up) == (old, 1), "what can't be loaded is left out alone"


async def test_points_at_an_instant_and_how_they_moved(store: Bay) -> None:
    await load(store, *LIFE)
    assert await store.report_liability(ask(end=day(1, 0))) == []
    assert await store.report_liability(ask(end=day(4))) == [Liability("POINTS", 0, 80, 0, 80)]
    assert await store.report_liability(ask(after="POINTS")) == [Liability("STARS", 4, 7, 0, 11)]
    points, stars = await store.report_liability_movements(ask(begin=day(2)))
    assert points == LiabilityMovement("POINTS", 100, 0, -10, 0, 10, 30, 20, 60, -10)
    assert stars == LiabilityMovement("STARS", 0, 7, 0, 4, 0, 0, 0, 0, 11)


async def test_sums_beyond_64_bits_are_cut_off_there(store: Bay) -> None:
    most = 2**63 - 1
    much = [{"kind": "points", "value": most}]
    huge = [transfer(n, "grant", "issued", "active", most, tenant_id="rival") for n in (20, 21)]
    await load(store, *(decision(number, reward_values=much) for number in (1, 2, 4)), *huge)
    (line,) = await store.report_campaign_days(EVERYTHING)
    assert line.spend == [Spend("points", None, 3, most, 0)]
    assert (await store.report_liability(replace(ask(), tenant_id="rival")))[0].outstanding == most


async def test_who_met_a_campaign_and_what_it_gave(store: Bay, tmp_path: Path) -> None:
    later: dict[str, Any] = {"occurred_at": "2026-03-09T10:00:00.000001Z", "decided_at": "2026-03-09T10:00:00.000001Z"}
    held_out: dict[str, Any] = {"outcome": "denied", "reason": "holdout", "reward_values": []}
    await load(
        store,
        decision(1, variant="some", instance=""),
        decision(2, **held_out),
        decision(3, reason="paused"),
        decision(4, campaign_id="quest", instance="2026"),
        decision(6, variant="other", **later),  # the user of the first, afterwards
        decision(7, user_id="u9", variant="some", occurred_at="9998-12-31T23:59:59.999999Z"),
        reversal(9, 1, 50),
    )
    assert not await store.is_of_quest(QUESTION)
    assert await store.is_of_quest(replace(QUESTION, campaign_id="quest"))
    some = [Spend("cashback", "EUR", 2, 500, 50), Spend("points", None, 2, 10, 0)]
    assert (await store.report_spend(QUESTION))["some"] == some
    folder = tmp_path / "bay"  # where DuckDB may write
    folder.mkdir(exist_ok=True)
    files = await store.write_met(QUESTION, folder)
    met = duckdb.read_parquet(files["met"]).project("user_id, epoch_us(met_at), place, variant").fetchall()
    first, last = 1_772_359_200_000_000, 253_370_764_799_999_999
    assert sorted(met) == [
        ("u1", first, "offered", "some"),
        ("u2", first, "holdout", None),
        ("u9", last, "offered", "some"),
    ]
    assert duckdb.read_parquet(files["question"]).fetchall() == [("PURCHASE", None, 7)]


async def test_announced_twice_counts_once_and_a_snapshot_replaces(store: Bay) -> None:
    log = await load(store, *map(decision, range(1, 101)), *map(decision, range(50, 101)))
    assert (await store.report_campaign_days(EVERYTHING))[0].granted == 67
    log.append(decision(400), partition=1)
    again = [decision(n, op="r", epoch="e2") for n in range(1, 4)]
    await load(store, emptied("decision", 0, "e2"), *again, decision(4, epoch="e2"), log=log)
    (line,) = await store.report_campaign_days(EVERYTHING)
    assert (line.granted, line.denied) == (4, {"limit": 1})


async def test_what_can_not_be_loaded_is_left_out_alone(store: Bay) -> None:
    spoilt = [
        decision(11, local_day="no day"), decision(12, local_day=None), decision(14, decision_id="x"), decision(16, tenant_id=None),
        decision(13, reward_values=[{"kind": "points", "value": 10**30}]), decision(15, reward_values="none"),
    ]  # fmt: skip
    await load(store, decision(1), *spoilt, decision(17), rejection(2, received_at="soon"), rejection(3))
    await load(store, transfer(4, "grant", "issued", "active", 1), transfer(5, "grant", "issued", "active", "many"))  # type: ignore[arg-type]
    (line,) = await store.report_campaign_days(EVERYTHING)
    assert line.granted == 2
    assert len(await store.report_rejection_days(EVERYTHING)) == 1
    assert (await store.report_liability(ask()))[0].outstanding == 1
