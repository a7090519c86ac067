"""What a backfill grants is what a backtest tells, which is what the worker would have decided: to the last proof, and in live events after it."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from fillip.core.errors import FillipError
from fillip.core.match.candidate import Match
from fillip.http.history_query import HistoryEvent
from fillip.manage.backfill.postgres import ask_again, end_turn
from fillip.manage.backfill.told import AllDone
from fillip.manage.store.postgres import transaction
from fillip.settle.backfill import BackfillWalk, Portion, SettlePast, walk
from fillip.settle.backfill import postgres as backfill_postgres
from tests.manage.backfilled_world import BackfilledWorld, Pages
from tests.manage.past_world import open_past_world, write_past
from tests.manage.test_backtest_replay import APART
from tests.oracle.catalogue import CAMPAIGNS
from tests.oracle.shop import ANY


class LaunchedWorld(BackfilledWorld):
    """Its campaigns are launched when three of four events have come, and the others come behind."""

    async def play(self, campaigns: Sequence[str]) -> None:
        """Decide all events once, those of before the launch by backfills in two turns each, which then run once more."""
        all_events = self.events
        self.events = all_events[: len(all_events) * 3 // 4]
        await self.live()
        self.events = all_events
        body = {"backfill_from": (datetime.now(UTC) - timedelta(days=30)).isoformat()}
        for campaign_id in campaigns:
            launched = f"/v1/campaigns/{campaign_id}/launch"
            assert (await self.shop.client.post(launched, json=body, headers=ANY)).is_success
        for campaign_id in campaigns:
            await self.backfill(campaign_id)
        await self.live()
        for campaign_id in campaigns:
            async with transaction(self.plane.engine, self.caller) as connection:
                await ask_again(connection, self.caller, campaign_id)
            await self.backfill(campaign_id)

    async def backfill(self, campaign_id: str) -> None:
        """Run it, cut off in the midst."""
        told = [write_past(number, event, {}) for number, event in enumerate(self.events)]
        for portions in (2, None):
            order, progress, going = await self.begin_backfill(campaign_id, BackfillWalk)
            upto = told if portions is None else told[: progress.done + portions * walk.MOST]
            assert await going.play(Pages(upto), progress.done, progress.mark, 600)
            if portions is not None:  # its process is gone; another takes over
                self.free_turns()
            else:
                await end_turn(self.plane.engine, order, AllDone())


@pytest.fixture(params=["history", "live"])
async def launched_world(
    request: pytest.FixtureRequest, database: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[LaunchedWorld]:
    """A shop in New York with a cohort, a list, a badge and a holdout."""
    monkeypatch.setattr(walk, "FEWEST", 40)
    monkeypatch.setattr(walk, "MOST", 40)
    monkeypatch.setattr(walk, "LONGEST_REST_S", 0.0)
    monkeypatch.setattr(walk, "BUSY_PAUSE_S", 0.001)
    async with open_past_world(database, request.param, LaunchedWorld) as world:
        yield world


async def draft(world: LaunchedWorld, campaigns: Sequence[str]) -> None:
    """Make campaigns with limits of their own."""
    for campaign_id in campaigns:
        made = {"campaign_id": campaign_id, "definition": CAMPAIGNS[campaign_id]}
        await world.shop.stock(CAMPAIGNS[campaign_id])
        await world.shop.call("POST", "/v1/campaigns", made)
        own = {"campaign_id": campaign_id}
        daily = {"scope": "campaign", "measure": "count", "span": "day", "cap": 5}
        await world.shop.cap({"limit_id": f"daily-{campaign_id}", **own, **daily})
        weekly = {"scope": "user_in_campaign", "measure": "count", "span": "week", "cap": 4}
        await world.shop.cap({"limit_id": f"weekly-{campaign_id}", **own, **weekly})


async def list_unequal(world: LaunchedWorld, campaigns: Sequence[str], said: Counter[str]) -> list[str]:
    """The campaigns whose decisions are not those of a backtest over all events, or for whom a second run found something."""
    again = "SELECT campaign_id FROM backfill WHERE run <> 2 OR result ->> 'events_met' <> '0' OR result -> 'passed_over' ? 'undecidable'"
    unequal = [campaign_id for (campaign_id,) in world.owner.execute(again).fetchall()]
    for campaign_id in campaigns:
        _, decided = await world.replay(campaign_id)
        live = world.list_live(campaign_id)
        unequal += [] if decided == live else [campaign_id]
        said.update(reason for _, reason, _ in live.values())
    return unequal


async def test_it_decides_as_the_worker_would_have(launched_world: LaunchedWorld) -> None:
    await draft(launched_world, APART)
    launched_world.say(200, seed=7)
    await launched_world.play(APART)
    said = Counter[str]()
    assert await list_unequal(launched_world, APART, said) == []
    assert said.keys() >= {"granted", "limit", "holdout", "no_value", "already_held"}, said


def _take_again(patch: pytest.MonkeyPatch) -> None:
    """Met twice."""
    patch.setitem(
        backfill_postgres.SQL,
        "take_events",
        "SELECT unnest($4::uuid[]) AS event_key, $1::text, $2::text, $3::int",
    )


def _date_by_receipt(patch: pytest.MonkeyPatch) -> None:
    """Dated by when it was received."""
    read = BackfillWalk._read_event

    def wrong(self: BackfillWalk, past: HistoryEvent, *rest: Any) -> Any:
        return read(self, replace(past, occurred_at=past.received_at), *rest)

    patch.setattr(BackfillWalk, "_read_event", wrong)


def _end_early(patch: pytest.MonkeyPatch) -> None:
    """The last event before the launch is nobody's."""
    asked = backfill_postgres.SQL["find_bounds"]
    patch.setitem(backfill_postgres.SQL, "find_bounds", asked.replace("p.next_offset)", "p.next_offset - 1)"))


def _forget_portion(patch: pytest.MonkeyPatch) -> None:
    """The last match of each portion is lost."""
    settle = SettlePast.__call__

    async def wrong(self: SettlePast, portion: Portion) -> None:
        await settle(self, replace(portion, matches=portion.matches[:-1]))

    patch.setattr(SettlePast, "__call__", wrong)


def _go_backwards(patch: pytest.MonkeyPatch) -> None:
    """A portion is decided from its end."""
    settle = SettlePast.__call__

    async def wrong(self: SettlePast, portion: Portion) -> None:
        matches: list[Match] = [*reversed(portion.matches)]
        await settle(self, replace(portion, matches=matches))

    patch.setattr(SettlePast, "__call__", wrong)


@pytest.mark.parametrize("launched_world", ["history"], indirect=True)
@pytest.mark.parametrize("fault", [_take_again, _date_by_receipt, _end_early, _forget_portion, _go_backwards])
async def test_a_fault_would_be_seen(
    launched_world: LaunchedWorld, fault: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each in one of these campaigns at least."""
    campaigns = ["any", "saved"]
    await draft(launched_world, campaigns)
    launched_world.say(80, seed=11)
    monkeypatch.setattr(walk, "FEWEST", 12)
    monkeypatch.setattr(walk, "MOST", 12)
    monkeypatch.setattr(walk, "BUSY_TRIES", 2)
    fault(monkeypatch)
    try:
        await launched_world.play(campaigns)
    except FillipError:  # the ledger refuses a second decision of its own accord
        return
    assert await list_unequal(launched_world, campaigns, Counter())
