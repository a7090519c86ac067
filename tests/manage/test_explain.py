"""Why and why not: of recorded decisions, and of events tried against a campaign as it stands."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from httpx import AsyncClient

from tests.builders import build_tenant
from tests.manage.ledger_rows import put_counter, put_decision, put_event, put_instance
from tests.manage.shop import ANY, CASHBACK, LONG_AGO, PURCHASE, QUEST, cap, draft, launch, open_cohort, open_shop

ONCE: dict[str, Any] = {"scope": "user_in_campaign", "campaign_id": "c", "measure": "count", "span": "lifetime"}
BIG = {"user_id": "ada", "action": "PURCHASE", "attributes": {"amount_cents": 9000, "coupon": "K1"}}


def checks(answer: Any) -> dict[str, dict[str, Any]]:
    """The checks of an explanation by name."""
    assert answer.status_code == 200, answer.text
    return {check["check"]: check for check in answer.json()["checks"]}


async def attempt(client: AsyncClient, body: dict[str, Any], campaign_id: str = "c") -> dict[str, Any]:
    """Try an event against a campaign."""
    answer = await client.post(f"/v1/campaigns/{campaign_id}/explain", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_granted_decision_is_explained_leaf_by_leaf(acme: AsyncClient, database: str) -> None:
    await open_shop(acme)
    await launch(acme, "c", CASHBACK)
    put_event(database, "e1", {"amount_cents": 9000})
    decision_id = put_decision(database, "e1")
    answer = await acme.get(f"/v1/decisions/{decision_id}/explain")
    assert all(check["passed"] for check in checks(answer).values())
    first, second = checks(answer)["rule"]["rules"][0]["leaves"]
    assert (first["line"], first["column"], first["reads"]) == (1, 1, {"event.amount_cents": 9000})
    assert (second["value"], second["reads"]) == (True, {"user.tier": "gold"})
    assert answer.json()["summary"].startswith("ada earns the reward of 'Big baskets'")


async def test_it_is_told_which_revision_of_the_users_attributes_was_read(acme: AsyncClient, database: str) -> None:
    await open_shop(acme)
    await launch(acme, "c", CASHBACK)
    put_event(database, "e1", {"amount_cents": 9000})
    decision_id = put_decision(database, "e1", user_revision=3)
    await acme.put("/v1/users/ada", json={"attributes": {"tier": "none"}}, headers=ANY)
    stored = (await acme.get("/v1/users/ada")).json()["revision"]
    assert (await acme.get(f"/v1/decisions/{decision_id}")).json()["user_revision"] == 3
    assert (await acme.get(f"/v1/decisions/{decision_id}/explain")).json()["user_revision"] == 3
    now, stranger = await attempt(acme, {"event_id": "e1"}), {"user_id": "eve", "action": "PURCHASE"}
    assert now["user_revision"] == stored != 3
    assert (await attempt(acme, stranger | {"attributes": {"amount_cents": 1}}))["user_revision"] is None


async def test_a_denied_decision_names_the_limit_and_its_use_then(acme: AsyncClient, database: str) -> None:
    await open_shop(acme)
    await launch(acme, "c", CASHBACK)
    put_event(database, "e1", {"amount_cents": 9000, "coupon": "K1"})
    full = {"limit_id": "once", "key": "K1", "window_start": "1970-01-01", "version": 1, "used_before": 1, "amount": 1}
    limits = [full | {"cap": 1, "resets_at": "2026-02-01T23:00:00Z"}]
    denied = put_decision(database, "e1", outcome="denied", reason="limit", limits=limits, reward_values=[])
    answer = await acme.get(f"/v1/decisions/{denied}/explain")
    (use,) = checks(answer)["limits"]["limits"]
    assert (use["fits"], use["used_before"], use["cap"], use["resets_at"]) == (False, 1, 1, "2026-02-01T23:00:00Z")
    told = "limit once for key K1 has 0 of 1 left, this grant needs 1; it counts anew from 2026-02-01 23:00:00 UTC"
    assert told in answer.json()["summary"]
    assert (answer.json()["outcome"], answer.json()["reason"]) == ("denied", "limit")


async def test_a_decision_is_explained_by_what_was_in_force_then(acme: AsyncClient, database: str) -> None:
    await open_shop(acme)
    await launch(acme, "c", CASHBACK)
    put_event(database, "e1", {"amount_cents": 9000})
    decision_id = put_decision(database, "e1")
    await acme.put("/v1/campaigns/c", json=CASHBACK | {"rule": "event.amount_cents > 100000"}, headers=ANY)
    schema = PURCHASE | {"properties": PURCHASE["properties"] | {"channel": {"type": "string"}}}
    await acme.put("/v1/actions/PURCHASE", json={"schema": schema}, headers=ANY)
    await acme.put("/v1/users/ada", json={"attributes": {"tier": "none"}}, headers=ANY)

    answer = await acme.get(f"/v1/decisions/{decision_id}/explain")
    assert (answer.json()["campaign_version"], checks(answer)["rule"]["passed"]) == (1, True)
    again = await attempt(acme, {"event_id": "e1"})
    assert (again["campaign_version"], again["reason"]) == (2, "rule")


async def test_a_late_decision_says_so(acme: AsyncClient, database: str) -> None:
    await open_shop(acme)
    await launch(acme, "c", CASHBACK)
    put_event(database, "e1", {"amount_cents": 9000})
    with psycopg.connect(database) as owner:
        owner.execute("UPDATE event_met SET received_at = occurred_at + interval '8 days'")
    decision_id = put_decision(database, "e1", outcome="denied", reason="late", reward_values=[])
    answer = await acme.get(f"/v1/decisions/{decision_id}/explain")
    assert (checks(answer)["time"]["reason"], "limits" in checks(answer)) == ("late", False)
    assert "more than 7 days" in answer.json()["summary"]


async def test_a_decision_of_a_pause_says_so_whatever_the_campaign_is_now(acme: AsyncClient, database: str) -> None:
    await open_shop(acme)
    await launch(acme, "c", CASHBACK)
    put_event(database, "e1", {"amount_cents": 9000})
    decision_id = put_decision(database, "e1", outcome="denied", reason="paused", reward_values=[])
    answer = await acme.get(f"/v1/decisions/{decision_id}/explain")
    found = checks(answer)
    assert (found["state"]["reason"], found["rule"]["passed"], "limits" in found) == ("paused", True, False)
    assert "the reward is refused: the campaign is paused" in answer.json()["summary"]


async def test_a_trial_of_a_paused_campaign_tells_what_is_denied_for_good(acme: AsyncClient, database: str) -> None:
    """What is sent now, and what would leave nothing behind and may be sent again."""
    await open_shop(acme)
    for name, definition in (("c", CASHBACK), ("q", QUEST)):
        await launch(acme, name, definition)
        await acme.post(f"/v1/campaigns/{name}/pause", headers=ANY)
    small, early = BIG | {"attributes": {"amount_cents": 10}}, BIG | {"time": "2025-12-31T23:59:59Z"}
    soon = BIG | {"time": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}
    tried = {}
    for name in ("c", "q"):
        found = [await attempt(acme, event, name) for event in (BIG, small, early, soon)]
        assert {each["reason"] for each in found} == {"paused"}
        tried[name] = [each["outcome"] for each in found]
    assert tried["c"] == ["denied", "no_match", "no_match", "no_match"]
    assert tried["q"] == ["denied", "denied", "no_match", "no_match"], "a small basket is a visit too"


async def test_a_trial_says_that_a_user_is_held_out(acme: AsyncClient, database: str) -> None:
    """Denied where the rule is met; and where nobody is held out, nothing is said of it."""
    await open_shop(acme)
    await launch(acme, "c", CASHBACK | {"rule": "event.amount_cents >= 5000"})
    assert "holdout" not in {check["check"] for check in (await attempt(acme, BIG, "c"))["checks"]}
    await acme.patch("/v1/tenant", json={"holdout_percent": 50}, headers=ANY)
    tried = [await attempt(acme, BIG | {"user_id": f"u{number}"}, "c") for number in range(20)]
    assert {(each["outcome"], each["reason"]) for each in tried} == {("denied", "holdout"), ("granted", "granted")}
    out = next(each for each in tried if each["outcome"] == "denied")
    assert "among the 50 % of users who are held out and get nothing" in out["summary"]
    small = BIG | {"user_id": out["event"]["user_id"], "attributes": {"amount_cents": 10}}
    assert (await attempt(acme, small, "c"))["outcome"] == "no_match"


async def test_a_decision_of_a_holdout_says_so_whatever_it_is_now(acme: AsyncClient, database: str) -> None:
    """By the percentage of the book that it was made under."""
    await open_shop(acme)
    await launch(acme, "c", CASHBACK)
    tenant = build_tenant(holdout_percent=50)
    user = next(name for number in range(20) if tenant.holds_out(name := f"u{number}"))
    await acme.patch("/v1/tenant", json={"holdout_percent": 50}, headers=ANY)
    put_event(database, "e1", {"amount_cents": 9000}, user)
    decision_id = put_decision(database, "e1", user_id=user, outcome="denied", reason="holdout", reward_values=[])
    await acme.patch("/v1/tenant", json={"holdout_percent": 0}, headers=ANY)
    answer = await acme.get(f"/v1/decisions/{decision_id}/explain")
    found = checks(answer)
    assert (answer.json()["reason"], "limits" in found) == ("holdout", False)
    assert (found["holdout"]["passed"], found["rule"]["passed"]) == (False, True)


async def test_a_trial_says_which_condition_failed_and_on_what_value(acme: AsyncClient) -> None:
    await open_shop(acme)
    await launch(acme, "c", CASHBACK)
    small = BIG | {"attributes": {"amount_cents": 1200}}
    found = await attempt(acme, small)
    assert (found["outcome"], found["reason"]) == ("no_match", "rule")
    assert "wanted event.amount_cents >= 5000 (event.amount_cents = 1200)" in found["summary"]
    stranger = await attempt(acme, BIG | {"user_id": "bob"})
    assert (stranger["reason"], "user.tier = nothing" in stranger["summary"]) == ("rule", True)
    assert (await attempt(acme, BIG))["outcome"] == "granted"


async def test_a_trial_shows_what_stands_before_the_rule(acme: AsyncClient) -> None:
    await open_shop(acme)
    await acme.put("/v1/actions/RETURN", json={"schema": PURCHASE})
    await open_cohort(acme, "vip", "bob")
    past = {"ends_at": (datetime.now(UTC) - timedelta(days=1)).isoformat()}
    await draft(acme, "c", CASHBACK | {"schedule": {"starts_at": LONG_AGO}})
    await draft(acme, "over", CASHBACK | {"schedule": past})
    await launch(acme, "few", CASHBACK | {"cohorts": ["vip"]})
    assert (await attempt(acme, BIG))["reason"] == "draft"
    assert (await attempt(acme, BIG, "few"))["reason"] == "not_in_cohort"
    found = await attempt(acme, BIG | {"action": "RETURN"}, "few")
    assert (found["reason"], "looks at PURCHASE, not at RETURN" in found["summary"]) == ("other_action", True)
    over = {check["check"]: check["reason"] for check in (await attempt(acme, BIG, "over"))["checks"]}
    assert (over["state"], over["schedule"]) == ("draft", "ended")
    old = BIG | {"time": (datetime.now(UTC) - timedelta(days=8)).isoformat()}
    await acme.post("/v1/campaigns/c/launch", headers=ANY)
    assert ((await attempt(acme, old))["outcome"], (await attempt(acme, old))["reason"]) == ("denied", "late")
    soon = BIG | {"time": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}
    assert (await attempt(acme, soon))["reason"] == "in_future"


async def test_every_door_cuts_off_below_the_microsecond(acme: AsyncClient) -> None:
    await open_shop(acme)
    schedule = {"starts_at": "2026-01-01T00:00:00Z", "ends_at": "2026-02-28T23:59:59.9999999Z"}
    made = await draft(acme, "c", CASHBACK | {"schedule": schedule})
    assert made["definition"]["schedule"]["ends_at"] == "2026-02-28T23:59:59.999999Z"
    event = {"user_id": "ada", "action": "PURCHASE", "attributes": {"amount_cents": 9000}}
    tried = await attempt(acme, event | {"time": "2026-02-28T23:59:59.999999500Z"})
    assert tried["event"]["occurred_at"] == "2026-02-28T23:59:59.999999Z"
    assert next(check["passed"] for check in tried["checks"] if check["check"] == "schedule")
    key = await acme.post(
        "/v1/keys", json={"name": "k", "scopes": ["manage:read"], "expires_at": "2099-12-31T23:59:59.9999999Z"}
    )
    assert key.json()["expires_at"] == "2099-12-31T23:59:59.999999Z"
    given = {"adjustment_id": "a", "amount": 1, "reason": "r", "expires_at": "2099-12-31T23:59:59.9999999Z"}
    assert (await acme.post("/v1/users/ada/wallets/POINTS/adjustments", json=given)).status_code == 201
    wallet = (await acme.get("/v1/users/ada/wallets/POINTS")).json()
    assert wallet["next_expiry"]["at"] == "2099-12-31T23:59:59.999999Z"


async def test_a_trial_weighs_limits_as_they_stand_and_takes_nothing(acme: AsyncClient, database: str) -> None:
    await open_shop(acme)
    await launch(acme, "c", CASHBACK)
    await cap(acme, "once", cap=1, **ONCE, key="event.coupon")
    await cap(acme, "all", scope="tenant", measure="value", span="lifetime", cap=150, reward_kind="cashback")
    put_counter(database, "all", "", "", 40)
    for _ in range(2):
        found = await attempt(acme, BIG)
        assert found["outcome"] == "granted", "trying takes nothing"
    uses = {use["limit_id"]: (use["key"], use["used_before"], use["amount"]) for use in found["checks"][-1]["limits"]}
    assert uses == {"all": ("", 40, 100), "once": ("K1", 0, 1)}

    put_counter(database, "once", "ada", "K1", 1)
    assert ((await attempt(acme, BIG))["outcome"], (await attempt(acme, BIG))["reason"]) == ("denied", "limit")
    other = BIG | {"attributes": {"amount_cents": 9000, "coupon": "K2"}}
    assert (await attempt(acme, other))["outcome"] == "granted"
    none = await attempt(acme, BIG | {"attributes": {"amount_cents": 9000}})
    assert (none["outcome"], none["reason"]) == ("no_match", "key_error"), "an event without its key is not granted"


async def test_a_trial_says_what_a_limit_gives_of_what_it_has_left(acme: AsyncClient, database: str) -> None:
    await open_shop(acme)
    await launch(acme, "c", CASHBACK)
    left = {"measure": "value", "span": "lifetime", "reward_kind": "cashback", "over": "partial"}
    assert (await cap(acme, "all", scope="tenant", cap=150, **left))["over"] == "partial"
    put_counter(database, "all", "", "", 110)
    found = await attempt(acme, BIG)
    told = "limit all has 40 of 150 left and gives that, instead of 100"
    assert (found["outcome"], found["summary"]) == (
        "granted",
        f"ada earns a part of the reward of 'Big baskets': {told}.",
    )
    [use] = found["checks"][-1]["limits"]
    assert (use["used_before"], use["amount"], use["wanted"], use["fits"]) == (110, 40, 100, True)
    put_counter(database, "all", "bob", "", 1)
    with psycopg.connect(database) as owner:
        owner.execute("UPDATE limit_counter SET used = 150")
    assert (await attempt(acme, BIG))["reason"] == "limit"


async def test_a_trial_moves_a_quest_on_paper_only(acme: AsyncClient, database: str) -> None:
    await open_shop(acme)
    await launch(acme, "q", QUEST)
    first = await attempt(acme, BIG, "q")
    assert (first["outcome"], "visit 1 of 3" in first["summary"]) == ("progress", True)
    put_instance(database, "q", "open", 2, 3, datetime.now(UTC) - timedelta(days=1))
    assert (await attempt(acme, BIG, "q"))["outcome"] == "granted", "the third visit completes it"
    late = BIG | {"time": (datetime.now(UTC) - timedelta(days=8)).isoformat()}
    assert ((await attempt(acme, late, "q"))["outcome"], (await attempt(acme, late, "q"))["reason"]) == (
        "no_match",
        "late",
    )
    with psycopg.connect(database) as owner:
        owner.execute("UPDATE quest_instance SET state = 'completed'")
    assert (await attempt(acme, BIG, "q"))["reason"] == "quest", "not repeatable"


async def test_a_trial_finds_an_instance_that_is_marked_as_lapsed_and_takes_the_event(
    acme: AsyncClient, database: str
) -> None:
    await open_shop(acme)
    await launch(acme, "q", QUEST | {"quest": QUEST["quest"] | {"repeatable": True}})
    put_instance(database, "q", "lapsed", 2, 3, datetime.now(UTC) - timedelta(days=1))
    with psycopg.connect(database) as owner:
        owner.execute(
            "INSERT INTO quest_instance SELECT tenant_id, campaign_id, user_id, instance_key, 2, campaign_version,"
            " 'completed', started_at, ends_at, start_event_key, start_event_id, start_event_source, 1, steps"
            " FROM quest_instance"
        )
    answer = await attempt(acme, BIG, "q")
    (told,) = [check["message"] for check in answer["checks"] if check["check"] == "quest"]
    assert (answer["outcome"], told) == ("granted", "the event completes instance 1 of the quest: visit 3 of 3")


async def test_a_trial_of_what_is_no_event_is_refused(acme: AsyncClient) -> None:
    await open_shop(acme)
    await launch(acme, "c", CASHBACK)
    cases = [
        ({}, "/user_id"),
        ({"user_id": "ada", "action": "RETURN"}, "/action"),
        (BIG | {"attributes": {"amount_cents": "9"}}, "/attributes/amount_cents"),
        (BIG | {"attributes": {"amount_cents": 10**30}}, "/attributes/amount_cents"),
        (BIG | {"attributes": {}}, "/attributes"),
        (BIG | {"event_id": "e1"}, "/event_id"),
    ]
    for body, at in cases:
        answer = await acme.post("/v1/campaigns/c/explain", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["at"]) == (422, at)
    assert (await acme.post("/v1/campaigns/c/explain", json={"event_id": "e1"})).status_code == 404


async def test_a_draft_tells_what_it_would_earn_and_what_stands_in_its_way_apart(acme: AsyncClient) -> None:
    await open_shop(acme)
    await draft(acme, "c", CASHBACK | {"rewards": [{"kind": "points", "value": 5}]})
    found = await attempt(acme, BIG)
    assert (found["outcome"], found["reason"]) == ("no_match", "draft")
    assert [each["reason"] for each in found["obstacles"]] == ["draft"]
    assert (found["would"]["outcome"], found["would"]["rewards"][0]["value"]) == ("granted", 5)
    assert (
        found["summary"] == "ada would earn 5 POINTS from 'Big baskets', but the campaign is draft and grants nothing."
    )
    small = await attempt(acme, BIG | {"attributes": {"amount_cents": 1200}})
    assert (small["would"]["outcome"], small["would"]["reason"], small["would"]["rewards"]) == ("no_match", "rule", [])
    await cap(acme, "none", **ONCE | {"cap": 0})
    assert (await attempt(acme, BIG))["would"]["reason"] == "limit"
    await launch(acme, "open", CASHBACK)
    granted = await attempt(acme, BIG, "open")
    assert (granted["obstacles"], granted["would"]) == ([], None)


async def test_an_event_is_tried_at_another_instant(acme: AsyncClient, database: str) -> None:
    """By schedule, lateness and the limits' windows of then; an instant that has not come is an obstacle, and no rejection."""
    await open_shop(acme)
    soon = datetime.now(UTC) + timedelta(days=40)
    schedule = {"starts_at": (soon - timedelta(days=1)).isoformat(), "ends_at": (soon + timedelta(days=1)).isoformat()}
    await launch(acme, "c", CASHBACK | {"schedule": schedule})
    assert (await attempt(acme, BIG))["reason"] == "not_started"
    found = await attempt(acme, BIG | {"at": soon.isoformat()})
    assert (found["outcome"], found["reason"], found["would"]["outcome"]) == ("no_match", "in_future", "granted")
    assert [each["check"] for each in found["obstacles"]] == ["time"]
    assert "would earn 100 minor units of EUR as cashback from 'Big baskets', but the event of" in found["summary"]
    after = await attempt(acme, BIG | {"at": (soon + timedelta(days=2)).isoformat()})
    assert (after["reason"], after["would"]["reason"]) == ("ended", "ended")
    # of the past: late when it comes now, and not when it had come then
    await launch(acme, "old", CASHBACK)
    past = (datetime.now(UTC) - timedelta(days=20)).isoformat()
    assert (await attempt(acme, BIG | {"time": past}, "old"))["reason"] == "late"
    then = await attempt(acme, BIG | {"at": past}, "old")
    assert (then["outcome"], then["would"]) == ("granted", None)
    # a recorded one, moved
    put_event(database, "e1", {"amount_cents": 9000})
    moved = await attempt(acme, {"event_id": "e1", "at": soon.isoformat()})
    assert (moved["event"]["event_id"], moved["would"]["outcome"]) == ("e1", "granted")
