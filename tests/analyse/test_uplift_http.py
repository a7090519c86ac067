"""Uplift from facts and events: who counts in which group, whose events, and when."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from fillip.analyse import Queries, build_app
from fillip.analyse.event import add_events
from fillip.analyse.facts import Load, sift
from fillip.app.valkey import connect_valkey
from fillip.limit.rates_valkey import ValkeyRates
from fillip.manage.api.keys import NewKey
from fillip.manage.api.tenants import NewTenant
from fillip.manage.key.postgres import PostgresKeyRing
from fillip.manage.operator import create_tenant
from fillip.manage.store.postgres import open_engine
from fillip.migrations import role_dsn
from fillip.stream.belt import Record
from tests.analyse.bay_world import BayWorld, decision, event, record, reversal

NOW_MS = 1_772_400_000_000
REWARD = [{"kind": "cashback", "value": 250, "currency": "EUR"}]
ASKED = {"campaign_id": "welcome", "action": "PURCHASE", "value": "order.amount_cents", "window_days": 7}


def meet(number: int, user: str, reason: str, day: int = 1, **columns: Any) -> dict[str, Any]:
    """A decision of `user` at ten o'clock on that day of March."""
    outcome = "granted" if reason == "granted" else "denied"
    rewards = REWARD if outcome == "granted" else []
    at = {"occurred_at": f"2026-03-{day:02}T10:00:00Z", "local_day": f"2026-03-{day:02}"}
    told = {"user_id": user, "outcome": outcome, "reason": reason, "reward_values": rewards}
    return decision(number, **{**told, **at, **columns})


def buy(name: str, user: str, time: str, amount: object = 100, **more: Any) -> bytes:
    """A purchase."""
    return event(name, user=user, time=time, order={"amount_cents": amount}, **more)


MET = (
    meet(1, "ann", "granted"),
    meet(2, "ann", "granted", day=2),
    meet(3, "bob", "limit"),
    meet(4, "cid", "holdout"),
    meet(5, "dan", "holdout", day=3),
    meet(6, "dan", "granted", day=4),
    meet(7, "eve", "paused"),
    meet(8, "fay", "granted", campaign_id="other"),
    meet(9, "gus", "granted", campaign_id="quest", instance="1"),
    meet(10, "ann", "granted", tenant_id="rival"),
    meet(11, "ham", "control", campaign_id="test", variant="none"),
    meet(12, "ian", "granted", campaign_id="test", variant="cash"),
    reversal(13, 1, 50),
    meet(14, "jo", "shadow", shadow=True, reward_values=REWARD),
    meet(15, "kay", "holdout", shadow=True),
    meet(16, "ham", "control", shadow=True, campaign_id="test", variant="one"),
    meet(17, "liz", "shadow", shadow=True, campaign_id="test", instance="1"),
)
BOUGHT = (
    buy("1", "ann", "2026-03-01T10:00:00Z"),  # that is how she met it
    buy("2", "ann", "2026-03-01T10:00:01Z", 300),
    buy("3", "ann", "2026-03-08T10:00:00Z", 30.5),
    buy("4", "ann", "2026-03-08T10:00:00.000001Z"),  # too late
    buy("5", "bob", "2026-03-01T09:00:00Z"),  # too early
    buy("6", "cid", "2026-03-02T00:00:00Z", "much"),  # did it, of no known value
    buy("7", "dan", "2026-03-05T00:00:00Z", 40),
    buy("8", "eve", "2026-03-05T00:00:00Z", 40),
    buy("9", "bob", "2026-03-05T00:00:00Z", 999, tenant_id="rival"),
)


@pytest.fixture
async def ask(bay_world: BayWorld, database: str) -> AsyncIterator[Any]:
    """Asks for uplift as acme."""
    key = str((await create_tenant(
        database, NewTenant(tenant_id="acme", name="a", time_zone="UTC", currency="EUR", clock="live"),
        NewKey(name="k", scopes=["reports:read"]),
    ))[1].key)  # fmt: skip
    topics = bay_world.topics
    records = [
        record(n, m, topics.reversed if m["source"]["table"] == "incentive_change" else topics.decided)
        for n, m in enumerate(MET)
    ]
    engine, rates = open_engine(role_dsn(database, "fillip_api")), ValkeyRates(connect_valkey("redis://127.0.0.1:1/0"))
    async with bay_world.bay() as bay:
        load = sift(records, {})
        await bay.load(load)
        assert not load.asides
        events = Load()
        await add_events(
            events, [Record(topics.received, 0, n, value, b"", NOW_MS) for n, value in enumerate(BOUGHT)], {}
        )
        await bay.load(events)
        async with Queries.open(bay.day_files) as queries:
            app = build_app(bay, queries, PostgresKeyRing(engine), rates)
            headers = {"Authorization": f"Bearer {key}"}
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://bay", headers=headers
            ) as client:

                async def get(**parameters: Any) -> httpx.Response:
                    return await client.get("/v1/reports/uplift", params=parameters)

                yield get
    await engine.dispose()


async def test_groups_go_by_the_first_decision_and_windows_by_each_user(ask: Any) -> None:
    """Denied for another reason is offered all the same; who was held out first stays so; a pause is no meeting, nor is a shadow."""
    answer = (await ask(**ASKED)).json()
    held, offered = answer["groups"]
    assert held == {
        "group": "holdout", "place": "holdout", "users": 2, "converted": 2, "conversion": 1.0, "mean_value": 20.0, "spend": [],
    }  # fmt: skip
    assert offered == {
        "group": "offered", "place": "offered", "users": 2, "converted": 1, "conversion": 0.5, "mean_value": 165.25,
        "spend": [{"kind": "cashback", "currency": "EUR", "count": 3, "value": 750, "reversed": 50}],
    }  # fmt: skip
    (comparison,) = answer["comparisons"]
    assert (comparison["group"], comparison["against"], comparison["value"]) == ("offered", "holdout", None)
    assert comparison["conversion"]["difference"] == -0.5
    assert len(comparison["notes"]) == 3


async def test_days_and_windows_are_those_asked_for_and_a_value_need_not_be(ask: Any) -> None:
    """From the second day on ann meets it later; without a value it is only counted."""
    answer = (await ask(campaign_id="welcome", action="PURCHASE", window_days=5, **{"from": "2026-03-02"})).json()
    assert [(g["group"], g["users"], g["converted"], g["mean_value"]) for g in answer["groups"]] == [
        ("holdout", 1, 1, None),
        ("offered", 1, 0, None),
    ]
    assert (await ask(**ASKED, **{"from": "2027-01-01"})).json() == {"groups": [], "comparisons": []}


async def test_variants_are_compared_with_their_control(ask: Any) -> None:
    answer = (await ask(**ASKED | {"campaign_id": "test"})).json()
    assert [(g["group"], g["place"]) for g in answer["groups"]] == [
        ("variant:none", "control"),
        ("variant:cash", "offered"),
    ]
    assert [(c["group"], c["against"]) for c in answer["comparisons"]] == [("variant:cash", "variant:none")]


@pytest.mark.parametrize(
    ("changed", "at"),
    [
        ({"campaign_id": "quest"}, "campaign_id"),
        ({"campaign_id": ""}, "campaign_id"),
        ({"action": ""}, "action"),
        ({"value": "$.x"}, "value"),
        ({"value": "a'b"}, "value"),
        ({"value": "a..b"}, "value"),
        ({"window_days": "0"}, "window_days"),
        ({"window_days": "91"}, "window_days"),
        ({"limit": "5"}, "limit"),
    ],
)
async def test_what_can_not_be_compared_or_read_is_refused(ask: Any, changed: dict[str, str], at: str) -> None:
    answer = await ask(**ASKED | changed)
    assert (answer.status_code, answer.json()["errors"][0]["at"]) == (422, at)


async def test_names_are_values_never_sql(ask: Any) -> None:
    for name in ("x' OR '1'='1", "'; DROP TABLE met; --", '"'):
        answer = await ask(**ASKED | {"action": name})
        assert (answer.status_code, [g["converted"] for g in answer.json()["groups"]]) == (200, [0, 0])
