"""Why and why not, beyond the rule: what a reward is worth for the event, and who wins it instead."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from httpx import AsyncClient

from fillip.core.identity import identify_event
from tests.manage.ledger_rows import OCCURRED_AT, SOURCE, put_counter, put_decision, put_event, put_instance
from tests.manage.shop import CASHBACK, QUEST, cap, launch, open_shop
from tests.manage.test_explain import BIG, attempt, checks

OPEN: dict[str, Any] = CASHBACK | {"rule": "event.amount_cents >= 5000"}
HALF = {"of": 'event.amount_cents / (user.tier == "gold" ? 1 : 0)', "percent": "50", "rounding": "down"}


def worth(value: int, **more: Any) -> dict[str, Any]:
    """A campaign of this value in a group that the best value wins."""
    pick = {"exclusive": {"group": "best", "pick": "value"}}
    return OPEN | pick | {"rewards": [{"kind": "cashback", "value": value}]} | more


async def test_a_trial_shows_what_a_formula_read_and_gave(acme: AsyncClient) -> None:
    await open_shop(acme)
    await launch(acme, "c", OPEN | {"rewards": [{"kind": "cashback", "formula": HALF}]})
    await cap(acme, "all", scope="tenant", measure="value", span="lifetime", cap=9000, reward_kind="cashback")
    found = await attempt(acme, BIG | {"attributes": {"amount_cents": 9001}})
    assert (found["outcome"], found["as_of"]) == ("granted", "now")
    by_name = {check["check"]: check for check in found["checks"]}
    (reward,) = by_name["reward"]["rewards"]
    assert reward["reads"] == {"event.amount_cents": 9001, "user.tier": "gold"}
    assert (reward["source"], reward["amount"], reward["value"]) == (HALF["of"], 9001, 4500)
    assert by_name["limits"]["limits"][0]["amount"] == 4500
    failed = await attempt(acme, BIG | {"user_id": "bob"})
    assert (failed["outcome"], failed["reason"]) == ("denied", "value_error")
    (reward,) = next(check for check in failed["checks"] if check["check"] == "reward")["rewards"]
    assert (reward["value"], reward["error"]) == (None, "divide by zero")


async def test_a_late_event_is_told_that_its_reward_was_over(acme: AsyncClient, database: str) -> None:
    await open_shop(acme)
    hour = {"kind": "coupon", "payload": {"code": "A"}, "expires_after_s": 3600}
    await launch(acme, "c", OPEN | {"rewards": [{"kind": "points", "value": 5}, hour]})
    now = datetime.now(UTC)
    found = await attempt(acme, BIG | {"time": (now - timedelta(hours=3)).isoformat()})
    assert (found["outcome"], found["reason"]) == ("denied", "expired")
    assert found["summary"].endswith("a reward had expired before the event came, so nothing is given.")
    assert (await attempt(acme, BIG | {"time": (now - timedelta(minutes=50)).isoformat()}))["outcome"] == "granted"

    put_event(database, "e1", {"amount_cents": 9000}, received_at=OCCURRED_AT + timedelta(hours=3))
    denied = put_decision(database, "e1", outcome="denied", reason="expired", reward_values=[])
    told = checks(await acme.get(f"/v1/decisions/{denied}/explain"))
    assert (told["reward"]["passed"], told["reward"]["reason"]) == (False, "expired")
    assert "limits" not in told, "no limit is asked"


async def test_a_trial_names_the_campaign_that_would_win(acme: AsyncClient, database: str) -> None:
    await open_shop(acme)
    await launch(acme, "small", worth(10))
    await launch(acme, "middle", worth(20))
    await launch(acme, "big", worth(90))
    await launch(acme, "other-rule", worth(99, rule="event.amount_cents > 1000000"))
    found = await attempt(acme, BIG, "middle")
    assert (found["outcome"], found["reason"]) == ("denied", "outranked")
    assert "campaign big wins the event instead" in found["summary"]
    assert (await attempt(acme, BIG, "big"))["outcome"] == "granted"

    await cap(acme, "no-more", scope="campaign", campaign_id="big", measure="count", span="lifetime", cap=1)
    put_counter(database, "no-more", "", "", 1)
    assert (await attempt(acme, BIG, "middle"))["outcome"] == "granted", "the winner has no room: it yields"
    (conflict,) = [c for c in (await attempt(acme, BIG, "small"))["checks"] if c["check"] == "conflict"]
    assert (conflict["passed"], conflict["outranked_by"]) == (False, "middle")


async def test_a_trial_of_what_is_not_stackable_looks_at_all_others(acme: AsyncClient) -> None:
    await open_shop(acme)
    await launch(acme, "alone", OPEN | {"stackable": False})
    assert (await attempt(acme, BIG, "alone"))["outcome"] == "granted"
    await launch(acme, "any", OPEN | {"priority": 1})
    assert (await attempt(acme, BIG, "alone"))["reason"] == "outranked"
    assert (await attempt(acme, BIG, "any"))["outcome"] == "granted"


async def test_an_event_and_a_campaign_are_explained_by_their_decision(acme: AsyncClient, database: str) -> None:
    await open_shop(acme)
    await launch(acme, "c", OPEN)
    await launch(acme, "lost", worth(20))
    await launch(acme, "never-met", CASHBACK | {"rule": "event.amount_cents > 1000000"})
    put_event(database, "e1", {"amount_cents": 9000})
    put_decision(database, "e1")
    put_decision(database, "e1", "lost", outcome="denied", reason="outranked", outranked_by="c", reward_values=[])

    granted = await acme.get("/v1/campaigns/c/explain", params={"event_id": "e1"})
    assert (granted.json()["as_of"], granted.json()["outcome"]) == ("decision", "granted")
    lost = await acme.get("/v1/campaigns/lost/explain", params={"event_id": "e1"})
    assert checks(lost)["conflict"]["outranked_by"] == "c"
    assert "limits" not in checks(lost), "who is outranked touches no limit"
    never = await acme.get("/v1/campaigns/never-met/explain", params={"event_id": "e1"})
    assert (never.json()["as_of"], never.json()["reason"]) == ("now", "rule")
    assert (await acme.get("/v1/campaigns/c/explain", params={"event_id": "e9"})).status_code == 404
    assert (await acme.get("/v1/campaigns/c/explain")).status_code == 422


async def test_of_two_events_of_one_id_the_source_says_which_is_explained(acme: AsyncClient, database: str) -> None:
    await open_shop(acme)
    await launch(acme, "c", OPEN)
    for source, amount_cents in ((SOURCE, 9000), ("/other", 1)):
        put_event(database, "1", {"amount_cents": amount_cents}, source=source)
    decision_id = put_decision(database, "1")
    refused = await acme.get("/v1/campaigns/c/explain", params={"event_id": "1"})
    assert (refused.status_code, refused.json()["errors"][0]["at"]) == (422, "event_source")
    assert "'/other', '/till'" in refused.json()["detail"]
    assert (await acme.post("/v1/campaigns/c/explain", json={"event_id": "1"})).status_code == 422
    granted = (await acme.get("/v1/campaigns/c/explain", params={"event_id": "1", "event_source": SOURCE})).json()
    assert (granted["decision_id"], granted["event"]["event_source"]) == (str(decision_id), SOURCE)
    never = (await acme.get("/v1/campaigns/c/explain", params={"event_id": "1", "event_source": "/other"})).json()
    assert (never["decision_id"], never["reason"], never["event"]["attributes"]) == (None, "rule", {"amount_cents": 1})
    alone = await acme.post("/v1/campaigns/c/explain", json=BIG | {"event_source": SOURCE})
    assert (alone.status_code, alone.json()["errors"][0]["at"]) == (422, "/event_source")


async def test_a_decision_without_room_says_what_was_missing(acme: AsyncClient, database: str) -> None:
    await open_shop(acme)
    await launch(acme, "c", OPEN)
    put_event(database, "e1", {"amount_cents": 9000})
    put_decision(database, "e1", outcome="denied", reason="pool_empty", reward_values=[])
    found = await acme.get("/v1/campaigns/c/explain", params={"event_id": "e1"})
    assert checks(found)["room"]["reason"] == "pool_empty"
    assert "no free code" in found.json()["summary"]


async def test_the_decision_of_a_quest_shows_its_instance_and_what_each_step_was_given(
    acme: AsyncClient, database: str
) -> None:
    await open_shop(acme)
    await launch(acme, "q", QUEST)
    for number in (1, 2, 3):
        put_event(database, f"e{number}", {"amount_cents": 9000})
    put_instance(database, "q", "completed", 3)
    with psycopg.connect(database) as owner:
        for number in (1, 2, 3):
            owner.execute(
                "INSERT INTO quest_step_met VALUES ('acme', 'q', 'ada', '', 1, 'visit', %s, 4, %s, '2026-03-01')",
                [identify_event("acme", SOURCE, f"e{number}"), number],
            )
    put_decision(database, "e3", "q", instance="1")
    found = await acme.get("/v1/campaigns/q/explain", params={"event_id": "e3"})
    (instance,) = checks(found)["quest"]["instances"]
    assert (instance["instance"], instance["state"]) == ("1", "completed")
    (step,) = instance["steps"]
    assert (step["name"], step["done"], step["needed"]) == ("visit", 3, 3)
    assert [(given["event_id"], given["amount"], given["reversed"]) for given in step["given"]] == [
        ("e1", 4, 1),
        ("e2", 4, 2),
        ("e3", 4, 3),
    ]


async def test_a_trial_and_the_check_of_a_code_look_into_pools_and_shelves(acme: AsyncClient, database: str) -> None:
    await open_shop(acme)
    assert (await acme.post("/v1/coupon-pools", json={"pool_id": "ten", "name": "Ten"})).status_code == 201
    assert (await acme.post("/v1/badges", json={"badge_id": "star", "name": "Star"})).status_code == 201
    gifts = [{"kind": "coupon", "pool": "ten"}, {"kind": "badge", "badge": "star"}]
    await launch(acme, "c", OPEN | {"rewards": gifts})
    await launch(acme, "code", {"kind": "SIMPLE", "name": "Code", "codes": ["SPRING"], "rewards": gifts})

    async def try_both() -> set[tuple[str, bool]]:
        """(reason, whether it is granted), by trial and by check."""
        found = await attempt(acme, BIG)
        answer = await acme.post("/v1/redemptions/check", json={"user_id": "ada", "code": "spring"})
        told = answer.json()
        return {(found["reason"], found["outcome"] == "granted"), (told["reason"], told["redeemable"])}

    assert await try_both() == {("pool_empty", False)}
    added = await acme.post(
        "/v1/coupon-pools/ten/codes", content=b"code\nTEN-1\n", headers={"Content-Type": "text/csv"}
    )
    assert added.is_success, added.text
    assert await try_both() == {("granted", True)}
    with psycopg.connect(database) as owner:
        owner.execute("INSERT INTO badge_held VALUES ('acme', 'ada', 'star', gen_random_uuid(), now())")
    assert await try_both() == {("already_held", False)}
