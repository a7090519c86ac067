"""Public codes: entered by anybody, decided by the worker in the order of the log, answered at once."""

from typing import Any

from fillip.embedded.addresses import Addresses
from tests.app.own_world import ANY, World, open_world

PATH = "/v1/redemptions"


def enter(redemption_id: str, code: str = "SPRING", user: str = "ada", **attributes: Any) -> dict[str, Any]:
    more = {"attributes": attributes} if attributes else {}
    return {"redemption_id": redemption_id, "user_id": user, "code": code} | more


async def cap(world: World, scope: str, most: int) -> None:
    limit = {"scope": scope, "measure": "count", "span": "lifetime", "cap": most, "campaign_id": "spring"}
    answer = await world.client.post("/v1/limits", json={"limit_id": f"by-{scope.replace('_', '-')}", **limit})
    assert (answer.status_code, answer.headers["Fillip-In-Force"]) == (201, "true"), answer.text


async def test_a_code_is_redeemed_once_a_user_in_any_spelling_and_told_the_same_again(
    database: str, servers: Addresses
) -> None:
    async with open_world(database, servers) as world:
        await world.launch("spring", codes=["SPRING", "Spring-26"])
        await cap(world, "user_in_campaign", 1)
        told = await world.decide(PATH, enter("r1", " spring "))
        assert (told["state"], told["reason"], told["campaign_id"]) == ("granted", "granted", "spring")
        assert [(each["kind"], each["value"]) for each in told["incentives"]] == [("points", 50)]
        assert told["balances"] == [{"currency": "POINTS", "pending": 0, "active": 50}]
        assert await world.decide(PATH, enter("r1", "spring")) == told, "the same again is told the same"
        other = await world.client.post(PATH, json=enter("r1", "spring", user="bob"))
        assert (other.status_code, other.json()["errors"][0]["at"]) == (409, "/redemption_id")
        again = await world.decide(PATH, enter("r2", "sPRING-26"))
        assert (again["state"], again["reason"], again["resets_at"], again["incentives"]) == (
            "refused",
            "limit",
            None,
            [],
        )
        assert (again["limits"][0]["used_before"], again["limits"][0]["cap"]) == (1, 1)
        assert (await world.decide(PATH, enter("r3", user="bob")))["state"] == "granted"
        [decision] = (await world.read("/v1/decisions?event_id=r2&event_source=fillip.redemption"))["items"]
        assert decision["decision_id"] == again["decision_id"]
        taken = await world.reverse("back", "r1", "fillip.redemption")
        assert (taken["state"], [each["value"] for each in taken["incentives"]]) == ("applied", [50])
        assert (await world.decide(PATH, enter("r4")))["state"] == "granted", "a reversal gives the limit back"


async def test_who_was_merged_redeems_as_who_that_is_by_now_and_is_told_the_same_again(
    database: str, servers: Addresses
) -> None:
    async with open_world(database, servers) as world:
        await world.launch("spring", codes=["SPRING"])
        before = await world.decide(PATH, enter("r1", user="anon"))
        await world.post("/v1/users/ada/merges", {"merge_id": "login", "from": "anon"}, 201)
        after = await world.decide(PATH, enter("r1", user="anon"))
        assert after | {"message": before["message"]} == before, "the message says who anon is by now"
        for user in ("anon", "anon", "ada"):
            told = await world.decide(PATH, enter("r2", user=user))
            assert (told["state"], told["balances"]) == (
                "granted",
                [{"currency": "POINTS", "pending": 0, "active": 100}],
            )
        other = await world.client.post(PATH, json=enter("r2", user="bob"))
        assert (other.status_code, other.json()["errors"][0]["at"]) == (409, "/redemption_id")


async def test_what_is_refused_says_why_and_a_code_that_is_nobodys_leaves_no_trace(
    database: str, servers: Addresses
) -> None:
    async with open_world(database, servers) as world:
        schema = {
            "type": "object",
            "properties": {"code": {"type": "string"}, "cart_cents": {"type": "integer"}},
            "required": ["code"],
        }
        assert (await world.client.put("/v1/actions/fillip.redemption", json={"schema": schema})).status_code == 201
        await world.launch("spring", codes=["SPRING"], rule="event.cart_cents >= 5000")
        await world.launch("later", codes=["LATER"], schedule={"starts_at": "2040-01-01T00:00:00Z"})
        small = await world.decide(PATH, enter("r1", cart_cents=1200))
        assert (small["state"], small["reason"], small["decision_id"]) == ("refused", "rule", None)
        assert "event.cart_cents = 1200" in small["message"]
        assert (await world.decide(PATH, enter("r2", cart_cents=5000)))["state"] == "granted"
        assert (await world.decide(PATH, enter("r3", "later")))["reason"] == "not_started"
        wrong = await world.client.post(PATH, json=enter("r4", cart_cents="many"))
        assert (wrong.status_code, wrong.json()["errors"][0]["at"]) == (422, "/attributes/cart_cents")
        met = world.count("event_met")
        for n in range(10):
            nobodys = await world.post(PATH, enter(f"n{n}", f"GUESS-{n}", user="eve"))
            assert (nobodys["state"], nobodys["reason"]) == ("refused", "unknown_code")
        assert (await world.client.post(PATH, json=enter("n10", "GUESS-10", user="eve"))).status_code == 429
        assert world.count("event_met") == met
        assert (await world.decide(PATH, enter("r5", user="eve", cart_cents=9000)))["state"] == "granted"
        trial = await world.post(
            f"{PATH}/check", {"user_id": "cy", "code": "spring", "attributes": {"cart_cents": 6000}}
        )
        assert (trial["redeemable"], trial["campaign_id"], trial["rewards"][0]["value"]) == (True, "spring", 50)
        trial = await world.post(f"{PATH}/check", {"user_id": "cy", "code": "spring"})
        assert (trial["redeemable"], trial["reason"]) == (False, "rule")
        assert world.count("event_met") == met + 1, "a trial redeems nothing"


async def test_a_code_brings_one_campaign_at_a_time(database: str, servers: Addresses) -> None:
    async with open_world(database, servers) as world:
        await world.launch("spring", codes=["SPRING"])
        part = {"kind": "SIMPLE", "name": "Next", "codes": ["spring"], "rewards": [{"kind": "points", "value": 70}]}
        await world.post("/v1/campaigns", {"campaign_id": "next", "definition": part}, 201)
        refused = await world.client.post("/v1/campaigns/next/launch", headers=ANY)
        assert (refused.status_code, refused.json()["errors"][0]["at"]) == (422, "/codes/0")
        assert "campaign 'spring' has this code, and is running" in refused.text
        await world.order("spring", "end")
        await world.order("next", "launch")
        told = await world.decide(PATH, enter("r1"))
        assert (told["campaign_id"], told["incentives"][0]["value"]) == ("next", 70)
        for wrong, at in (
            ({"codes": ["A", "a"]}, "/definition/codes/1"),
            ({"codes": [], "action": "fillip.redemption"}, "/definition/codes"),
            ({"codes": ["A"], "action": "BUY"}, "/definition/action"),
        ):
            faulty = await world.client.post("/v1/campaigns", json={"definition": part | wrong})
            assert (faulty.status_code, at in [each["at"] for each in faulty.json()["errors"]]) == (422, True), (
                faulty.text
            )
        shadow = await world.client.post("/v1/campaigns/next/archive", headers=ANY)
        assert shadow.status_code == 409, "it runs"
