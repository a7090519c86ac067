"""Rules of cohorts by events: what is taken and what is refused, and lists that follow what was counted."""

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from httpx import AsyncClient, Response

from fillip.core.problem import Fault
from fillip.http.errors import QuotaExceeded
from fillip.manage.cohort.listing_postgres import bring_up, make_first_list
from tests.manage.conftest import Plane
from tests.manage.shop import ANY, CASHBACK, PURCHASE, draft, open_cohort, open_shop

RULE = {"action": "PURCHASE", "at_least": 2, "window_s": 3600}


async def define(client: AsyncClient, cohort_id: str = "buyers", **rule: Any) -> Response:
    await client.post("/v1/cohorts", json={"cohort_id": cohort_id, "name": cohort_id})
    return await client.put(f"/v1/cohorts/{cohort_id}/rule", json=RULE | rule, headers=ANY)


async def read(client: AsyncClient, cohort_id: str = "buyers") -> list[str]:
    page = (await client.get(f"/v1/cohorts/{cohort_id}/members")).json()
    return [member["user_id"] for member in page["items"]]


class Tallies:
    """What `fillip cohort` would have counted for the rule of now of acme's cohort `buyers`."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        [(self.rule_id,)] = self.ask("SELECT rule_id FROM cohort_rule")

    def ask(self, query: str, *given: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.plane.dsn) as owner:
            found = owner.execute(query, given)
            return found.fetchall() if found.description else []

    def put(self, is_member: bool, *users: str) -> None:
        for user in users:
            self.ask(
                "INSERT INTO cohort_tally (tenant_id, rule_id, user_id, terms, is_member, changed_at)"
                " VALUES ('acme', %s, %s, '', %s, now()) ON CONFLICT (tenant_id, rule_id, user_id)"
                " DO UPDATE SET is_member = excluded.is_member, changed_at = now()",
                self.rule_id, user, is_member,
            )  # fmt: skip

    async def build(self) -> None:
        await make_first_list(self.plane.engine, "acme", "buyers", self.rule_id, datetime(2026, 1, 1, tzinfo=UTC))

    async def list(self) -> None:
        await bring_up(self.plane.engine, "acme", "buyers")


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ({"action": "DANCE"}, Fault("/action", "there is no action DANCE")),
        ({"rule": "event.amount_cents >"}, Fault("/rule", "1:")),
        ({"rule": "event.nothing == 1"}, Fault("/rule", "undefined field 'nothing'")),
        ({"rule": "user.tier == 'gold'"}, Fault("/rule", "goes by the event alone")),
        ({"rule": "'vip' in cohorts"}, Fault("/rule", "goes by the event alone")),
        ({"rule": "event.amount_cents"}, Fault("/rule", "must give bool")),
        ({"sum": "event.amount_cents > 1"}, Fault("/sum", "must give int")),
        ({"at_least": 501}, Fault("/at_least", "at most 500")),
        ({"at_least": 0}, Fault("/at_least", "greater than or equal to 1")),
        ({"window_s": 200_000_000}, Fault("/window_s", "less than or equal")),
        ({"within": 1}, Fault("/within", "")),
    ],
)
async def test_what_is_no_rule_is_refused_with_its_place(acme: AsyncClient, rule: dict[str, Any], fault: Fault) -> None:
    await open_shop(acme)
    answer = await define(acme, **rule)
    assert answer.status_code == 422
    [told] = answer.json()["errors"]
    assert told["at"] == fault.at
    assert fault.message in told["message"]
    assert (await acme.get("/v1/cohorts/buyers")).json()["kind"] == "uploaded"


async def test_the_rules_of_an_action_may_cost_so_much_together(acme: AsyncClient, plane: Plane) -> None:
    await open_shop(acme)
    await define(acme)
    Tallies(plane).ask("UPDATE cohort_rule SET cost = 20000")
    refused = await define(acme, "others")
    assert refused.status_code == 409 and "may cost 20,000 steps an event" in refused.json()["detail"]
    assert (await define(acme, at_least=3)).status_code == 200  # its own is replaced


async def test_no_campaign_asks_for_a_cohort_that_is_being_built(acme: AsyncClient, plane: Plane) -> None:
    await open_shop(acme)
    saved = await define(acme)
    assert saved.status_code == 200 and saved.json()["kind"] == "realtime" and saved.json()["version"] == 0
    told = (await acme.get("/v1/cohorts/buyers/rule")).json()
    assert told["state"] == "building" and told["at_least"] == 2 and told["behind_s"] is None
    await draft(acme, "c", CASHBACK | {"cohorts": ["buyers"]})
    assert (await acme.post("/v1/campaigns/c/launch", headers=ANY)).status_code == 409
    text = ANY | {"Content-Type": "text/csv"}
    assert (await acme.put("/v1/cohorts/buyers/members", content=b"ada\n", headers=text)).status_code == 409

    tallies = Tallies(plane)
    tallies.put(True, "ada", "a\\b\tc")
    tallies.put(False, "bob")
    await tallies.list()  # not before the first list
    assert (await acme.get("/v1/cohorts/buyers")).json()["version"] == 0
    await tallies.build()
    assert sorted(await read(acme)) == ["a\\b\tc", "ada"]
    assert (await acme.get("/v1/cohorts/buyers/rule")).json()["known_since"] == "2026-01-01T00:00:00Z"
    assert (await acme.post("/v1/campaigns/c/launch", headers=ANY)).status_code == 200


async def test_a_list_follows_the_tallies_and_what_follows_from_it_too(acme: AsyncClient, plane: Plane) -> None:
    await open_shop(acme)
    await open_cohort(acme, "frozen", "eve")
    await define(acme)
    tallies = Tallies(plane)
    await tallies.build()
    made = {"cohort_id": "reachable", "name": "R", "combination": {"any_of": ["buyers"], "none_of": ["frozen"]}}
    assert (await acme.post("/v1/cohorts", json=made)).status_code == 201
    revision = (await acme.get("/v1/cohorts/buyers")).json()["revision"]

    tallies.put(True, "ada", "eve", "joe")
    await tallies.list()
    assert (sorted(await read(acme)), await read(acme, "reachable")) == (["ada", "eve", "joe"], ["ada", "joe"])
    tallies.put(False, "joe", "nobody")
    tallies.put(True, "eve", "kim")
    await tallies.list()
    assert sorted(await read(acme)) == ["ada", "eve", "kim"]
    assert await read(acme, "reachable") == ["ada", "kim"]
    now = (await acme.get("/v1/cohorts/buyers")).json()
    assert (now["size"], now["version"], now["revision"]) == (3, 3, revision)
    await tallies.list()  # nothing has changed: no version
    assert (await acme.get("/v1/cohorts/buyers")).json()["version"] == 3


async def test_a_list_without_room_stays_and_says_why_until_there_is(
    acme: AsyncClient, operator: AsyncClient, plane: Plane
) -> None:
    await open_shop(acme)
    await define(acme)
    tallies = Tallies(plane)
    await tallies.build()
    await operator.patch("/v1/tenants/acme/quotas", json={"listed_users": 1})
    tallies.put(True, "ada", "joe")
    with pytest.raises(QuotaExceeded):
        await tallies.list()
    told = (await acme.get("/v1/cohorts/buyers")).json()
    assert "listed_users" in told["last_error"] and told["size"] == 0
    await operator.patch("/v1/tenants/acme/quotas", json={"listed_users": None})
    await tallies.list()
    told = (await acme.get("/v1/cohorts/buyers")).json()
    assert told["last_error"] is None and told["size"] == 2


async def test_a_changed_rule_keeps_the_list_until_its_own_is_there(acme: AsyncClient, plane: Plane) -> None:
    await open_shop(acme)
    await define(acme)
    before = Tallies(plane)
    before.put(True, "ada")
    await before.build()
    assert (await define(acme, at_least=1)).status_code == 200
    before.put(True, "joe")
    await before.list()
    await before.build()  # of a rule that is gone
    assert await read(acme) == ["ada"]
    after = Tallies(plane)
    after.put(True, "kim")
    await after.build()
    assert await read(acme) == ["kim"]
    assert after.ask("SELECT rule_id FROM cohort_rule_left") == [(before.rule_id,)]
    assert (await acme.delete("/v1/cohorts/buyers", headers=ANY)).status_code == 204
    assert len(after.ask("SELECT rule_id FROM cohort_rule_left")) == 2


async def test_a_schema_under_which_a_rule_would_not_hold_is_refused(acme: AsyncClient, plane: Plane) -> None:
    await open_shop(acme)
    await define(acme, rule="event.amount_cents > 5 && event.time > timestamp('2020-01-01T00:00:00Z')")
    schema = {**PURCHASE, "properties": {**PURCHASE["properties"], "amount_cents": {"type": "string"}}}
    body = {"schema": schema, "compatibility": "none"}
    refused = await acme.put("/v1/actions/PURCHASE", json=body, headers=ANY)
    assert refused.status_code == 409 and "cohorts/buyers/rule" in refused.text
