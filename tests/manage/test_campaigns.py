"""Campaigns: saving checks everything, versions, the life cycle, and what a schema change may break."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import psycopg
import pytest
from httpx import AsyncClient

from fillip.core.campaign.campaign import Campaign, CheckedExpression
from fillip.core.rule import compile_rule
from fillip.manage.store import keyset
from tests.manage.conftest import Plane
from tests.manage.shop import ANY, CASHBACK, PURCHASE, QUEST, cap, draft, launch, open_cohort, open_shop

NOW = datetime.now(UTC)


def faults(answer: Any) -> dict[str, str]:
    """The faults of a refused request by place."""
    assert answer.status_code == 422, answer.text
    return {error["at"]: error["message"] for error in answer.json()["errors"]}


def from_now(**span: float) -> str:
    """An instant this far from now."""
    return (datetime.now(UTC) + timedelta(**span)).isoformat()


async def test_a_draft_is_saved_with_its_checked_rule_and_announced(acme: AsyncClient, database: str) -> None:
    await open_shop(acme)
    made = await draft(acme, "big-baskets", CASHBACK)
    assert (made["state"], made["version"], made["revision"]) == ("draft", 1, 1)
    assert made["definition"]["rewards"][0]["currency"] == "EUR", "cashback is in the tenant's currency"

    with psycopg.connect(database) as owner:
        stored, checked = owner.execute("SELECT definition, checked FROM campaign_version").fetchone() or ({}, {})
        change = owner.execute("SELECT document FROM book_change WHERE kind = 'campaign'").fetchone() or ({},)
    assert msgspec.convert(stored, Campaign).rule == CASHBACK["rule"]
    found = msgspec.convert(checked, dict[str, CheckedExpression])["rule"]
    assert found.uses_user
    assert compile_rule(found.code)({"amount_cents": 5000}, {"tier": "gold"}, frozenset()) is True
    assert (change[0]["campaign_id"], change[0]["state"], change[0]["definition"]) == ("big-baskets", "draft", stored)


async def test_an_id_is_made_from_the_name_and_a_taken_one_refused(acme: AsyncClient) -> None:
    await open_shop(acme)
    made = (await acme.post("/v1/campaigns", json={"definition": CASHBACK})).json()
    assert made["campaign_id"].startswith("big-baskets-")
    again = await acme.post("/v1/campaigns", json={"campaign_id": made["campaign_id"], "definition": CASHBACK})
    assert again.status_code == 409


async def test_a_rule_that_does_not_type_check_is_refused_with_line_and_column(acme: AsyncClient) -> None:
    await open_shop(acme)
    bad = CASHBACK | {"rule": 'event.amount_cents > 1 &&\n  event.amnt == "x"'}
    found = faults(await acme.post("/v1/campaigns", json={"definition": bad}))
    assert found["/definition/rule"].startswith("line 2, column 8:")
    assert "amnt" in found["/definition/rule"]
    assert (await acme.get("/v1/campaigns")).json()["items"] == [], "nothing was saved"


async def test_all_faults_of_a_definition_come_at_once_with_their_places(acme: AsyncClient) -> None:
    await open_shop(acme)
    bad = CASHBACK | {
        "action": "RETURN",
        "cohorts": ["nobody"],
        "schedule": {"starts_at": "2026-02-01T00:00:00Z", "ends_at": "2026-01-01T00:00:00Z"},
        "rewards": [{"kind": "cashback", "value": 1, "currency": "USD"}],
    }
    found = faults(await acme.post("/v1/campaigns", json={"definition": bad}))
    assert set(found) == {
        "/definition/action",
        "/definition/cohorts/0",
        "/definition/schedule/ends_at",
        "/definition/rewards/0/currency",
    }


QUEST_FAULTS = [
    ({"steps": []}, "/definition/quest/steps"),
    ({"steps": [{"name": "a", "action": "PURCHASE", "count": 10_001}]}, "/definition/quest/steps/0/count"),
    (
        {"steps": [{"name": "a", "action": "PURCHASE"}, {"name": "a", "action": "PURCHASE"}]},
        "/definition/quest/steps/0/name",
    ),
    ({"steps": [{"name": "a", "action": "PURCHASE", "rule": "event.x"}]}, "/definition/quest/steps/0/rule"),
    ({"steps": [{"name": "a", "action": "RETURN"}]}, "/definition/quest/steps/0/action"),
    ({"start": {"at": "event"}}, "/definition/quest/start/action"),
    ({"start": {"at": "event", "action": "PURCHASE", "rule": "1"}}, "/definition/quest/start/rule"),
    ({"start": {"at": "first_step", "rule": "false"}}, "/definition/quest/start/rule"),
    ({"window_s": 366 * 86_400 + 1}, "/definition/quest/window_s"),
    ({"window_s": 0}, "/definition/quest/window_s"),
    ({"steps": [{"name": "a", "action": "PURCHASE", "sum": "event.amount_cents"}]}, "/definition/quest/steps/0/sum"),
    ({"steps": [{"name": "a", "action": "PURCHASE", "at_least": 5}]}, "/definition/quest/steps/0/at_least"),
    (
        {"steps": [{"name": "a", "action": "PURCHASE", "sum": "event.amount_cents > 1", "at_least": 5}]},
        "/definition/quest/steps/0/sum",
    ),
    (
        {"steps": [{"name": "a", "action": "PURCHASE", "count": 2, "streak": {"length": 3}}]},
        "/definition/quest/steps/0/streak",
    ),
    (
        {"steps": [{"name": "a", "action": "PURCHASE", "streak": {"length": 10}}]},
        "/definition/quest/steps/0/streak/length",
    ),
    (
        {"steps": [{"name": n, "action": "PURCHASE", "streak": {"length": 6}} for n in "ab"]},
        "/definition/quest/window_s",
    ),
    (
        {"steps": [{"name": "a", "action": "PURCHASE", "streak": {"length": 3, "freeze": 3}}]},
        "/definition/quest/steps/0/streak/freeze",
    ),
    ({"steps": [{"name": "a", "action": "PURCHASE", "rule": "start.nothing == 1"}]}, "/definition/quest/steps/0/rule"),
    (
        {"steps": [{"name": "a", "action": "PURCHASE", "rule": 'progress.done == "1"'}]},
        "/definition/quest/steps/0/rule",
    ),
    ({"instance": {"key": "event.amount_cents > 1"}}, "/definition/quest/instance/key"),
    ({"instance": {"key": '"a" in cohorts'}}, "/definition/quest/instance/key"),
    (
        {"instance": "user", "start": {"at": "event", "action": "PURCHASE", "rule": "start.x == 1"}},
        "/definition/quest/start/rule",
    ),
    ({"instance": "event", "start": {"at": "campaign"}}, "/definition/quest/instance"),
    ({"instance": "event", "repeatable": True}, "/definition/quest/repeatable"),
    ({"steps": [{"name": f"s{n}", "action": "PURCHASE"} for n in range(21)]}, "/definition/quest/steps"),
    ({"lateness_s": 7 * 86_400 + 1}, "/definition/quest/lateness_s"),
    (
        {"steps": [{"name": "a", "action": "PURCHASE", "sum": "event.amount_cents", "at_least": 5, "more_than": 5}]},
        "/definition/quest/steps/0/sum",
    ),
    (
        {"steps": [{"name": "a", "action": "PURCHASE", "count": 2, "sum": "event.amount_cents", "at_least": 5}]},
        "/definition/quest/steps/0/sum",
    ),
    (
        {"steps": [{"name": "a", "action": "PURCHASE", "streak": {"length": 3, "unit": "week"}}], "window_s": 86_400},
        "/definition/quest/steps/0/streak/length",
    ),
    ({"start": {"at": "event", "action": "PURCHASE", "rule": "false"}}, "/definition/quest/start/rule"),
]


@pytest.mark.parametrize(("part", "at"), QUEST_FAULTS)
async def test_a_quest_that_means_nothing_is_refused(acme: AsyncClient, part: dict[str, Any], at: str) -> None:
    await open_shop(acme)
    bad = QUEST | {"quest": QUEST["quest"] | part}
    assert at in faults(await acme.post("/v1/campaigns", json={"definition": bad}))


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (
            "event.amount_cents > 10 &&\n event.amount_cents < 5",
            "line 1, column 25: it can never hold: nothing lies between the bounds for event.amount_cents",
        ),
        ("event.amount_cents > 5 && event.amount_cents <= 5", "nothing lies between the bounds for event.amount_cents"),
        ("event.coupon == 'a' && event.coupon == 'b'", "it can never hold: what it asks excludes itself"),
        ("event.store == 'x' && false", "it can never hold"),
    ],
)
async def test_a_step_whose_rule_can_never_hold_is_refused_with_its_place(
    acme: AsyncClient, rule: str, reason: str
) -> None:
    await open_shop(acme)
    quest = deepcopy(QUEST)
    quest["quest"]["steps"][0]["rule"] = rule
    assert (
        reason in faults(await acme.post("/v1/campaigns", json={"definition": quest}))["/definition/quest/steps/0/rule"]
    )
    quest["quest"]["steps"][0]["rule"] = f"({rule}) || event.amount_cents >= 5 && event.amount_cents <= 5"
    assert (await acme.post("/v1/campaigns", json={"definition": quest})).status_code == 201


async def test_a_step_that_reads_a_start_that_is_none_is_told_why(acme: AsyncClient) -> None:
    await open_shop(acme)
    await acme.put("/v1/actions/RETURN", json={"schema": PURCHASE})
    rule = "event.store == start.store"
    steps = [{"name": action, "action": action, "rule": rule} for action in ("PURCHASE", "RETURN")]
    for quest in ({"steps": steps, "ordered": False}, {"steps": steps[:1], "start": {"at": "campaign"}}):
        found = faults(await acme.post("/v1/campaigns", json={"definition": QUEST | {"quest": quest}}))
        assert "'start' is the event that opened the instance" in found["/definition/quest/steps/0/rule"]


async def test_a_window_from_the_campaigns_start_must_not_be_over(acme: AsyncClient) -> None:
    await open_shop(acme)
    quest = deepcopy(QUEST) | {"schedule": {}}
    quest["quest"]["start"] = {"at": "campaign"}
    assert (await acme.post("/v1/campaigns", json={"definition": quest})).status_code == 201, "it is its launch"
    quest["schedule"] = {"starts_at": from_now(days=-8)}
    found = faults(await acme.post("/v1/campaigns", json={"definition": quest}))
    assert "no event can fall into it" in found["/definition/quest/window_s"]
    quest["quest"]["lateness_s"] = 2 * 86_400
    assert (await acme.post("/v1/campaigns", json={"definition": quest})).status_code == 201


async def test_a_quest_window_longer_than_the_schedule_is_refused_and_an_equal_one_taken(acme: AsyncClient) -> None:
    await open_shop(acme)
    quest = deepcopy(QUEST) | {"schedule": {"starts_at": "2026-01-01T00:00:00Z", "ends_at": "2026-01-02T00:00:00Z"}}
    quest["quest"]["window_s"] = 86_401
    assert "/definition/quest/window_s" in faults(await acme.post("/v1/campaigns", json={"definition": quest}))
    quest["quest"]["window_s"] = 86_400
    assert (await acme.post("/v1/campaigns", json={"definition": quest})).status_code == 201


@pytest.mark.parametrize(
    ("part", "at"),
    [
        ({"kind": "SIMPLE", "action": None}, "/definition/action"),
        ({"quest": QUEST["quest"]}, "/definition/quest"),
        ({"kind": "QUEST"}, "/definition/quest"),
        ({"rewards": []}, "/definition/rewards"),
        ({"rewards": [{"kind": "points", "value": -1}]}, "/definition/rewards/0/value"),
        ({"rewards": [{"kind": "points", "value": True}]}, "/definition/rewards/0/value"),
        ({"rewards": [{"kind": "badge", "payload": {"x": "y" * 20_000}}]}, "/definition/rewards/0/payload"),
        ({"schedule": {"starts_at": "2026-01-01T00:00:00"}}, "/definition/schedule/starts_at"),
        ({"schedule": {"starts_at": 17}}, "/definition/schedule/starts_at"),
        ({"budget": 1}, "/definition/budget"),
    ],
)
async def test_a_definition_out_of_bounds_is_refused(acme: AsyncClient, part: dict[str, Any], at: str) -> None:
    await open_shop(acme)
    assert at in faults(await acme.post("/v1/campaigns", json={"definition": CASHBACK | part}))


async def test_a_draft_changes_in_place_and_a_launched_campaign_gets_a_version(acme: AsyncClient) -> None:
    await open_shop(acme)
    await draft(acme, "c", CASHBACK)
    changed = await acme.put("/v1/campaigns/c", json=CASHBACK | {"name": "Draft"}, headers={"If-Match": '"1"'})
    assert (changed.json()["version"], changed.headers["ETag"]) == (1, '"2"')
    await acme.post("/v1/campaigns/c/launch", headers=ANY)
    changed = await acme.put("/v1/campaigns/c", json=CASHBACK | {"name": "Live"}, headers=ANY)
    assert (changed.json()["version"], changed.json()["state"]) == (2, "running")
    versions = (await acme.get("/v1/campaigns/c/versions")).json()["items"]
    assert [(v["version"], v["definition"]["name"]) for v in versions] == [(1, "Draft"), (2, "Live")]


async def test_a_change_needs_the_revision_that_was_read(acme: AsyncClient) -> None:
    await open_shop(acme)
    await draft(acme, "c", CASHBACK)
    assert (await acme.put("/v1/campaigns/c", json=CASHBACK)).status_code == 428
    assert (await acme.put("/v1/campaigns/c", json=CASHBACK, headers={"If-Match": '"9"'})).status_code == 412
    assert (await acme.post("/v1/campaigns/c/launch")).status_code == 428


async def test_the_life_cycle_goes_by_its_table(acme: AsyncClient) -> None:
    await open_shop(acme)
    await draft(acme, "c", CASHBACK)

    async def move(order: str) -> str:
        answer = await acme.post(f"/v1/campaigns/c/{order}", headers=ANY)
        return answer.json()["state"] if answer.status_code == 200 else answer.json()["detail"]

    assert "is draft: 'pause' is not possible, only shadow, launch, archive" in await move("pause")
    assert [await move(o) for o in ("launch", "pause", "resume", "end")] == ["running", "paused", "running", "ended"]
    ended = (await acme.get("/v1/campaigns/c")).json()
    assert ended["version"] == 2, "ending is a new version"
    assert ended["definition"]["schedule"]["ends_at"] is not None
    assert (await acme.put("/v1/campaigns/c", json=CASHBACK, headers=ANY)).status_code == 409
    assert await move("archive") == "archived"
    assert "only nothing" in await move("launch")


async def test_the_state_follows_the_clock_of_a_live_tenant(acme: AsyncClient, database: str) -> None:
    await open_shop(acme)
    later = CASHBACK | {"schedule": {"starts_at": from_now(hours=1), "ends_at": from_now(hours=2)}}
    assert (await launch(acme, "later", later))["state"] == "scheduled"
    assert (await launch(acme, "soon", later))["state"] == "scheduled"
    with psycopg.connect(database, autocommit=True) as owner:  # the clock moves on by moving the schedule back
        shift = "UPDATE campaign_version SET definition = jsonb_set(definition, '{schedule,%s}', to_jsonb(%s::text))"
        owner.execute(shift.replace("%s", "starts_at", 1), [from_now(hours=-2)])
        assert (await acme.get("/v1/campaigns/soon")).json()["state"] == "running"
        owner.execute(shift.replace("%s", "ends_at", 1) + " WHERE campaign_id = 'soon'", [from_now(hours=-1)])
    assert [c["campaign_id"] for c in (await acme.get("/v1/campaigns?state=ended")).json()["items"]] == ["soon"]
    assert [c["campaign_id"] for c in (await acme.get("/v1/campaigns?state=running")).json()["items"]] == ["later"]
    assert (await acme.post("/v1/campaigns/soon/pause", headers=ANY)).status_code == 409


async def test_a_campaign_whose_schedule_is_over_cannot_be_launched(acme: AsyncClient) -> None:
    await open_shop(acme)
    await draft(acme, "c", CASHBACK | {"schedule": {"ends_at": from_now(hours=-1)}})
    answer = await acme.post("/v1/campaigns/c/launch", headers=ANY)
    assert answer.status_code == 409
    assert "by its schedule" in answer.json()["detail"]


async def test_launching_checks_again_what_may_have_changed_since(acme: AsyncClient) -> None:
    await open_shop(acme)
    await draft(acme, "c", CASHBACK)
    schema = deepcopy(PURCHASE)
    schema["properties"] = {"cents": {"type": "integer"}}
    schema["required"] = []
    assert (await acme.put("/v1/actions/PURCHASE", json={"schema": schema}, headers=ANY)).status_code == 200
    assert "amount_cents" in faults(await acme.post("/v1/campaigns/c/launch", headers=ANY))["/rule"]


async def test_a_schema_change_that_breaks_what_runs_is_refused_by_name(acme: AsyncClient) -> None:
    await open_shop(acme)
    await launch(acme, "c", CASHBACK)
    await launch(acme, "q", QUEST)
    await cap(acme, "l", scope="campaign", campaign_id="q", measure="count", span="day", cap=1, key="event.coupon")
    schema = PURCHASE | {"properties": {"cents": {"type": "integer"}}, "required": []}
    answer = await acme.put("/v1/actions/PURCHASE", json={"schema": schema}, headers=ANY)
    assert answer.status_code == 409
    assert {error["at"] for error in answer.json()["errors"]} == {"campaigns/c/rule", "limits/l/key"}

    user_schema = {"type": "object", "properties": {"age": {"type": "integer"}}}
    answer = await acme.patch("/v1/tenant", json={"user_schema": user_schema}, headers=ANY)
    assert (answer.status_code, answer.json()["errors"][0]["at"]) == (409, "campaigns/c/rule")


async def test_a_schema_change_that_types_anew_writes_a_new_version(acme: AsyncClient) -> None:
    await open_shop(acme)
    await launch(acme, "c", CASHBACK | {"rule": "event.amount_cents >= 5000"})
    await launch(acme, "other", QUEST)
    change = {"schema": PURCHASE | {"required": ["amount_cents", "store"]}, "compatibility": "none"}
    assert (await acme.put("/v1/actions/PURCHASE", json=change, headers=ANY)).status_code == 200
    assert (await acme.get("/v1/campaigns/c")).json()["version"] == 1, "reads the same: nothing to do"
    schema = PURCHASE | {"required": []}
    assert (await acme.put("/v1/actions/PURCHASE", json={"schema": schema}, headers=ANY)).status_code == 200
    assert (await acme.get("/v1/campaigns/c")).json()["version"] == 2, "amount_cents may be absent now"
    assert (await acme.get("/v1/campaigns/other")).json()["version"] == 1


async def test_a_launched_quest_keeps_its_steps(acme: AsyncClient) -> None:
    await open_shop(acme)
    await launch(acme, "q", QUEST)
    steps = [{"name": name, "action": "PURCHASE"} for name in ("one", "two")]
    more = QUEST | {"quest": {"steps": steps}}
    assert "/quest/steps" in faults(await acme.put("/v1/campaigns/q", json=more, headers=ANY))
    assert "/kind" in faults(await acme.put("/v1/campaigns/q", json=CASHBACK, headers=ANY))


async def test_a_campaign_stays_on_the_action_that_its_keyed_limit_reads(acme: AsyncClient) -> None:
    await open_shop(acme)
    await acme.put("/v1/actions/RETURN", json={"schema": PURCHASE})
    await draft(acme, "c", CASHBACK)
    await cap(acme, "l", scope="campaign", campaign_id="c", measure="count", span="day", cap=1, key="event.coupon")
    answer = await acme.put("/v1/campaigns/c", json=CASHBACK | {"action": "RETURN"}, headers=ANY)
    assert "limit 'l'" in faults(answer)["/action"]


async def test_campaigns_are_listed_page_by_page_and_by_kind(acme: AsyncClient) -> None:
    await open_shop(acme)
    await open_cohort(acme, "vip", "ada")
    for number in range(3):
        await draft(acme, f"c{number}", CASHBACK | {"cohorts": ["vip"]})
    await draft(acme, "q", QUEST)
    first = (await acme.get("/v1/campaigns?limit=3")).json()
    rest = (await acme.get(f"/v1/campaigns?limit=3&cursor={first['next_cursor']}")).json()
    assert [c["campaign_id"] for c in first["items"] + rest["items"]] == ["c0", "c1", "c2", "q"]
    assert rest["next_cursor"] is None
    assert [c["campaign_id"] for c in (await acme.get("/v1/campaigns?kind=QUEST")).json()["items"]] == ["q"]


async def test_another_tenant_sees_and_moves_nothing(acme: AsyncClient, rival: AsyncClient) -> None:
    await open_shop(acme)
    await launch(acme, "c", CASHBACK)
    assert (await rival.get("/v1/campaigns")).json()["items"] == []
    for method, path in (("GET", "c"), ("GET", "c/versions"), ("POST", "c/pause"), ("POST", "c/explain")):
        body = {"user_id": "ada", "action": "PURCHASE"} if path == "c/explain" else None
        answer = await rival.request(method, f"/v1/campaigns/{path}", headers=ANY, json=body)
        assert answer.status_code == 404, (method, path)
    assert (await acme.get("/v1/campaigns/c")).json()["state"] == "running"


@pytest.mark.parametrize(
    ("rule", "indexed", "by", "why"),
    [
        ('event.amount_cents >= 5000 && user.tier == "gold"', True, ["event.amount_cents", "user.tier"], None),
        (
            'event.store == "a" &&\n  event.amount_cents % 2 == 1',
            True,
            ["event.store"],
            (
                "line 2, column 26: '==' is not between one attribute and a literal: "
                "the rule runs for the events that the rest leaves"
            ),
        ),
        (
            'event.store == "a" || event.coupon.startsWith("x")',
            False,
            [],
            "line 1, column 46: 'startsWith' can't be looked up: the rule runs for every event of the action",
        ),
        ("true", False, [], "it asks for nothing: every event of the action meets it"),
    ],
)
async def test_an_answer_says_whether_a_rule_is_indexed_and_why_not(
    acme: AsyncClient, rule: str, indexed: bool, by: list[str], why: str | None
) -> None:
    await open_shop(acme)
    made = await draft(acme, "c", CASHBACK | {"rule": rule})
    assert made["lookups"] == [{"path": "rule", "action": "PURCHASE", "indexed": indexed, "by": by, "why": why}]
    assert (await acme.get("/v1/campaigns/c")).json()["lookups"] == made["lookups"]


async def test_a_list_by_id_is_narrowed_to_those_that_begin_alike(acme: AsyncClient) -> None:
    await open_shop(acme)
    for campaign_id in ("spring_1", "spring-2", "springtime", "summer"):
        await draft(acme, campaign_id, CASHBACK)
    await acme.put("/v1/users/a%25b", json={"attributes": {}})
    await acme.put("/v1/users/acb", json={"attributes": {}})

    async def list_ids(path: str, name: str, prefix: str, **more: str) -> list[str]:
        found = await acme.get(path, params={"prefix": prefix, **more})
        assert found.status_code == 200, found.text
        return [item[name] for item in found.json()["items"]]

    assert await list_ids("/v1/campaigns", "campaign_id", "spring") == ["spring-2", "spring_1", "springtime"]
    assert await list_ids("/v1/campaigns", "campaign_id", "spring_") == ["spring_1"], "each character stands for itself"
    assert await list_ids("/v1/campaigns", "campaign_id", "spring", state="running") == []
    assert await list_ids("/v1/users", "user_id", "a%") == ["a%b"]
    assert await list_ids("/v1/users", "user_id", "it's \\ :x") == []
    assert (await acme.get("/v1/campaigns", params={"prefix": ""})).status_code == 422


async def test_a_list_is_narrowed_to_names_that_begin_alike_in_any_case(
    acme: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyset, "MAX_SIFTED", 2)  # so that what is looked for lies beyond the first page
    await open_shop(acme)
    names = ("Summer", "Autumn", "SPRING sale", "Spring_ing", "spring 100%")
    for number, name in enumerate(names):
        await draft(acme, f"c{number}", CASHBACK | {"name": name})
        await acme.post("/v1/badges", json={"badge_id": f"c{number}", "name": name})
        await acme.post("/v1/cohorts", json={"cohort_id": f"c{number}", "name": name})
        await acme.post("/v1/coupon-pools", json={"pool_id": f"c{number}", "name": name})
        await acme.put(f"/v1/lists/c{number}", json={"name": name, "items": [1]})

    async def count(path: str, **asked: str) -> int:
        found, cursor = 0, None
        while True:
            page = await acme.get(path, params=asked | ({"cursor": cursor} if cursor else {}))
            assert page.status_code == 200, page.text
            found, cursor = found + len(page.json()["items"]), page.json()["next_cursor"]
            if cursor is None:
                return found

    for path in ("campaigns", "badges", "cohorts", "coupon-pools", "lists"):
        assert await count(f"/v1/{path}", name_prefix="spring") == 3
        assert await count(f"/v1/{path}", name_prefix="spring_") == 1, "each character stands for itself"
        assert await count(f"/v1/{path}", name_prefix="spring", prefix="c3") == 1
    assert await count("/v1/campaigns", name_prefix="spring", state="running") == 0
    assert (await acme.get("/v1/users", params={"name_prefix": "a"})).status_code == 422


async def test_a_draft_can_be_deleted_and_what_decided_can_not(acme: AsyncClient, plane: Plane) -> None:
    await open_shop(acme)
    for campaign_id in ("a", "b", "c"):
        await draft(acme, campaign_id, CASHBACK)
    limit = {
        "limit_id": "once",
        "scope": "campaign",
        "measure": "count",
        "span": "lifetime",
        "cap": 1,
        "campaign_id": "a",
    }
    assert (await acme.post("/v1/limits", json=limit)).status_code == 201
    assert (await acme.delete("/v1/campaigns/a")).status_code == 428
    assert (await acme.delete("/v1/campaigns/a", headers={"If-Match": '"7"'})).status_code == 412
    named = await acme.delete("/v1/campaigns/a", headers=ANY)
    assert named.status_code == 409 and "once" in named.json()["detail"]
    assert (await acme.delete("/v1/limits/once", headers=ANY)).status_code == 204
    assert (await acme.delete("/v1/campaigns/a", headers=ANY)).status_code == 204
    assert (await acme.get("/v1/campaigns/a")).status_code == 404
    await draft(acme, "a", CASHBACK)  # the id is free again

    assert (await acme.post("/v1/campaigns/b/launch", headers=ANY)).status_code == 200
    assert (await acme.post("/v1/campaigns/c/shadow", headers=ANY)).status_code == 200
    assert (await acme.post("/v1/campaigns/c/withdraw", headers=ANY)).status_code == 200
    for campaign_id, why in (("b", "is running"), ("c", "was in shadow")):
        refused = await acme.delete(f"/v1/campaigns/{campaign_id}", headers=ANY)
        assert refused.status_code == 409 and why in refused.json()["detail"]
    with psycopg.connect(plane.dsn) as owner:
        query = "SELECT document -> 'deleted' FROM book_change WHERE kind = 'campaign' AND object_id = 'a' ORDER BY book_version"
        assert [deleted for (deleted,) in owner.execute(query)] == [None, True, None], "it is announced"
