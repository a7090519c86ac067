"""Merged users and cohorts: lists, what follows from them, and what is counted by rules are of the user who both are by now."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import psycopg
import pytest
from httpx import AsyncClient

from fillip.cohort.postgres import PostgresTallies
from fillip.cohort.stage import Counted, LiveRule
from fillip.core.tally import CohortRule, make_term
from fillip.manage.cohort import upload_postgres
from fillip.manage.cohort.merged_postgres import share_lists
from fillip.migrations import role_dsn
from tests.manage.conftest import Plane
from tests.manage.shop import open_shop
from tests.manage.test_cohort_rules import Tallies, define
from tests.manage.test_combinations import combine, list_members, put_list
from tests.manage.test_merges import join

NOW = datetime.now(UTC)
CSV = {"Content-Type": "text/csv"}


async def change(client: AsyncClient, change: str, *users: str, cohort_id: str = "vip") -> Any:
    path = f"/v1/cohorts/{cohort_id}/members?change={change}"
    answer = await client.post(path, content="\n".join(users), headers=CSV)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_merged_user_s_lists_are_the_other_s_and_so_is_what_follows_from_them(acme: AsyncClient) -> None:
    await put_list(acme, "vip", "anon", "eve")
    await put_list(acme, "both", "anon", "ada")
    await put_list(acme, "frozen", "ada")
    await put_list(acme, "others", "eve")
    await combine(acme, "reachable", any_of=["vip"], none_of=["frozen"])
    await combine(acme, "told", all_of=["vip", "both"])
    assert await list_members(acme, "reachable") == {"anon", "eve"}
    status, merge = await join(acme)
    assert (status, merge["brought"]["cohorts"]) == (201, 2), "vip and told; she was in both before, and is frozen"
    members = {name: await list_members(acme, name) for name in ("vip", "both", "frozen", "others", "reachable")}
    assert members == {
        "vip": {"ada", "eve"}, "both": {"ada"}, "frozen": {"ada"}, "others": {"eve"}, "reachable": {"eve"}
    }  # fmt: skip
    told = {each["cohort_id"]: each for each in (await acme.get("/v1/cohorts")).json()["items"]}
    assert {name: (each["version"], each["size"]) for name, each in told.items()} == {
        "vip": (2, 2), "both": (2, 1), "frozen": (1, 1), "others": (1, 1), "reachable": (2, 1), "told": (2, 1)
    }  # fmt: skip
    overlap = (await acme.get("/v1/cohorts/vip/overlap", params={"other": "both"})).json()
    assert overlap["both"] == 1


async def test_a_merge_into_nobody_whom_a_list_has_named_is_announced_with_it(acme: AsyncClient, plane: Plane) -> None:
    """Given a list of one, then who takes its place is in the next version of the book, beyond the quota of users that lists name too."""
    await put_list(acme, "vip", "anon")
    await acme.post("/v1/users/bob/merges", json={"merge_id": "m0", "from": "unlisted"})
    before = (await acme.get("/v1/tenant")).json()["book_version"]
    answer = await acme.post("/v1/users/ada/merges", json={"merge_id": "m1", "from": "anon"})
    assert (answer.status_code, answer.headers["Fillip-Book-Version"]) == (201, str(before + 1))
    assert await list_members(acme, "vip") == {"ada"}
    assert read_numbers(plane) == {"anon": 0, "ada": 1}


def read_numbers(plane: Plane) -> dict[str, int]:
    with psycopg.connect(plane.dsn) as owner:
        return dict(owner.execute("SELECT user_id, number FROM user_number").fetchall())


async def test_lists_that_name_the_old_id_later_mean_the_user_it_is_now(acme: AsyncClient) -> None:
    await put_list(acme, "vip", "eve")
    await join(acme)
    await join(acme, "m2", gone="old", into="/v1/users/anon")
    built = (await put_list(acme, "vip", "anon", "ada", "old", "eve")).json()
    assert (built["lines"], built["duplicates"], built["size"]) == (4, 2, 2)
    assert await list_members(acme, "vip") == {"ada", "eve"}
    assert (await change(acme, "remove", "old"))["removed"] == 1
    assert await list_members(acme, "vip") == {"eve"}
    assert (await change(acme, "add", "anon"))["added"] == 1
    assert await list_members(acme, "vip") == {"ada", "eve"}


@pytest.mark.parametrize("known", [True, False])
async def test_a_list_that_is_under_way_while_one_of_it_is_merged_names_who_it_is(
    acme: AsyncClient, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """Given ids that have their numbers already, and the list about to be switched, then a user of it is merged."""
    await put_list(acme, "vip", "eve", *(["anon"] if known else []))
    merged = list[int]()

    async def merge_first(*given: Any) -> None:
        monkeypatch.setattr(upload_postgres, "share_lists", share_lists)
        merged.append((await join(acme))[0])
        await share_lists(*given)

    monkeypatch.setattr(upload_postgres, "share_lists", merge_first)
    built = (await put_list(acme, "vip", "anon", "ada", "eve")).json()
    assert (merged, built["duplicates"], built["size"]) == ([201], 1, 2)
    assert await list_members(acme, "vip") == {"ada", "eve"}


@pytest.fixture
async def counting(database: str) -> AsyncIterator[PostgresTallies]:
    """As `fillip cohort` counts."""
    async with asyncpg.create_pool(role_dsn(database, "fillip_cohort"), min_size=1, max_size=4) as pool:
        yield PostgresTallies(pool)


async def test_what_a_rule_counts_of_both_counts_together(
    acme: AsyncClient, plane: Plane, counting: PostgresTallies
) -> None:
    """Given a rule of three purchases, two under one id and one under the other, then these are three; and what comes under either again is known."""
    await open_shop(acme)
    await define(acme, at_least=3, window_s=None)
    tallies = Tallies(plane)
    rule = LiveRule("acme", tallies.rule_id, CohortRule("PURCHASE", at_least=3), lambda *_: True, None)

    def buy(user: str, key: int) -> Counted:
        return Counted(rule, user, UUID(int=key), make_term(NOW, UUID(int=key)), NOW)

    await counting.add([buy("anon", 1), buy("anon", 2), buy("ada", 3), buy("eve", 4), buy("eve", 5), buy("eve", 6)])
    await tallies.build()
    assert await list_members(acme, "buyers") == {"eve"}
    await join(acme)
    await tallies.list()
    assert await list_members(acme, "buyers") == {"ada", "eve"}
    await counting.add([buy("anon", 3), buy("ada", 1), buy("anon", 7)])
    kept = tallies.ask("SELECT user_id, octet_length(terms) / 24, is_member = is_listed FROM cohort_tally ORDER BY 1")
    assert kept == [("ada", 4, True), ("eve", 3, True)], "each event once, and nothing under the old id"
    assert (await join(acme, "m2", gone="eve", into="/v1/users/bob"))[1]["brought"]["cohorts"] == 1
    assert await list_members(acme, "buyers") == {"ada", "bob"}
