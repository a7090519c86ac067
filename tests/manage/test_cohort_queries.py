"""Cohorts by query: saved, run when due, one run at a time, and what stays in force when a run fails."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx import AsyncClient, Response
from sqlalchemy import text
from starlette.applications import Starlette

from fillip.analyse import Queries
from fillip.analyse.duckdb.bay import DuckdbBay
from fillip.analyse.own_doors.users_http import users_route
from fillip.core.ports import Freshness, SelectedUsers
from fillip.http.errors import Conflict
from fillip.http.problems import HANDLERS
from fillip.manage.analyse_http import open_client
from fillip.manage.cohort.analyse_http import AnalyseUserQueries
from fillip.manage.cohort.postgres import cohorts
from fillip.manage.cohort.query_postgres import begin_run, finish_run
from fillip.manage.cohort.query_run import CohortRuns
from fillip.manage.store.postgres import open_engine, transaction
from fillip.migrations import role_dsn
from fillip.stream.topics import Topics
from tests.analyse.bay_world import event
from tests.analyse.test_day_files import load_events
from tests.manage.conftest import ALL_SCOPES, Plane

KEY = "key-of-this-installation"
BUYERS = "SELECT user_id FROM events WHERE action = 'PURCHASE'"
HOURLY = {"sql": BUYERS, "every_minutes": 60}


@dataclass
class World:
    """The control plane with an Analytics Bay that holds purchases of ada and grace at acme, of rita at rival."""

    plane: Plane
    bay: DuckdbBay
    runs: CohortRuns

    async def define(self, client: AsyncClient, cohort_id: str, **query: Any) -> Response:
        """A cohort with a query."""
        made = await client.post("/v1/cohorts", json={"cohort_id": cohort_id, "name": cohort_id})
        assert made.status_code in (201, 409), made.text
        return await client.put(f"/v1/cohorts/{cohort_id}/query", json=HOURLY | query, headers={"If-Match": "*"})

    async def change(self, values: str) -> None:
        """Set columns of all cohorts by query, as time would."""
        async with transaction(self.plane.owner) as connection:
            await connection.execute(text(f"UPDATE cohort SET {values} WHERE kind = 'sql'"))

    def lose_analyse(self) -> None:
        """From now on nobody answers at its address."""
        self.runs._queries = AnalyseUserQueries(open_client("http://127.0.0.1:1", KEY))


@pytest.fixture
async def cohort_world(plane: Plane, tmp_path: Path) -> AsyncIterator[World]:
    """All of it in this process, on real PostgreSQL and DuckDB."""
    async with AsyncExitStack() as stack:
        bay = await stack.enter_async_context(DuckdbBay.open(tmp_path / "analyse.duckdb", Topics()))
        queries = await stack.enter_async_context(Queries.open(bay.day_files))
        bought = [event("e1", user="ada"), event("e2", user="grace"), event("e3", user="ada")]
        await load_events(bay, 0, *bought, event("r1", tenant_id="rival", user="rita"))
        transport = httpx.ASGITransport(Starlette(routes=[users_route(queries, KEY)], exception_handlers=HANDLERS))
        headers = {"Authorization": f"Bearer {KEY}"}
        client = httpx.AsyncClient(transport=transport, base_url="http://bay", headers=headers, timeout=60)
        asking = AnalyseUserQueries(await stack.enter_async_context(client))
        plane.app.state.app_state = replace(plane.app.state.app_state, user_queries=asking)
        finder = open_engine(role_dsn(plane.dsn, "fillip_sweep"))
        stack.push_async_callback(finder.dispose)
        yield World(plane, bay, CohortRuns(finder, plane.engine, asking))


async def list_members(client: AsyncClient, cohort_id: str = "buyers") -> set[str]:
    page = (await client.get(f"/v1/cohorts/{cohort_id}/members")).json()
    return {member["user_id"] for member in page["items"]}


async def read(client: AsyncClient, cohort_id: str = "buyers") -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"/v1/cohorts/{cohort_id}")).json()
    return found


async def list_builds(client: AsyncClient, cohort_id: str = "buyers") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client.get(f"/v1/cohorts/{cohort_id}/builds")).json()["items"]
    return found


async def test_a_query_is_run_when_it_is_due_and_its_users_become_the_list(
    cohort_world: World, acme: AsyncClient
) -> None:
    saved = await cohort_world.define(acme, "buyers")
    assert saved.status_code == 200, saved.text
    assert (saved.json()["kind"], saved.json()["query_revision"], saved.json()["version"]) == ("sql", 1, 0)
    assert await cohort_world.runs.run_due()
    assert await list_members(acme) == {"ada", "grace"}
    told = await read(acme)
    assert (told["version"], told["size"], told["last_error"]) == (1, 2, None)
    assert told["received_at"]
    assert told["next_run_at"] > told["built_at"]
    [build] = await list_builds(acme)
    assert (build["state"], build["lines"], build["added"], build["query_revision"]) == ("done", 2, 2, 1)
    assert not await cohort_world.runs.run_due()

    await load_events(cohort_world.bay, 10, event("e4", user="linus"))
    asked = await acme.post("/v1/cohorts/buyers/run")
    again = await acme.post("/v1/cohorts/buyers/run")
    assert (asked.status_code, asked.json()["step"], again.json()) == (202, "waiting", asked.json())
    assert await cohort_world.runs.run_due()
    assert (await acme.get(asked.headers["Location"])).json()["state"] == "done"
    assert await list_members(acme) == {"ada", "grace", "linus"}


async def test_ids_of_all_kinds_arrive_and_what_is_none_is_refused(cohort_world: World, acme: AsyncClient) -> None:
    odd = ["a;b", "a,b", 'a"b', '"', "a\tb", "ü", "=1+1", "user_id", "a'b"]
    values = ", ".join("('" + each.replace("'", "''") + "')" for each in odd)
    await cohort_world.define(acme, "buyers", sql=f"SELECT u FROM (VALUES {values}, (NULL)) AS v (u)")
    assert await cohort_world.runs.run_due()
    assert await list_members(acme) == {*odd}
    for wrong, why in (("''", "no user's id"), ("repeat('x', 257)", "no user's id"), ("'a' || chr(10)", "quote")):
        await cohort_world.define(acme, "buyers", sql=f"SELECT {wrong} AS u")
        assert await cohort_world.runs.run_due()
        [build, *_] = await list_builds(acme)
        assert (build["state"], why in build["error"]) == ("refused", True), build
        assert (await read(acme))["last_error"] == build["error"]
    await cohort_world.define(acme, "buyers", sql="SELECT user_id FROM events WHERE false")
    assert await cohort_world.runs.run_due()
    assert await list_members(acme) == set()


async def test_what_is_refused_when_a_query_is_saved(cohort_world: World, acme: AsyncClient) -> None:
    for query, at in (
        ({"sql": "SELECT user_id\nFROM event"}, "2:6"),
        ({"sql": "SELECT nothing FROM events"}, "1:8"),
        ({"sql": "SELECT user_id, id FROM events"}, None),
        ({"sql": "SELECT 1 AS n"}, None),
        ({"sql": "DELETE FROM events"}, "1:1"),
        ({"cron": "0 3 * * *"}, "/every_minutes"),
        ({"every_minutes": None}, "/every_minutes"),
        ({"every_minutes": 4}, "/every_minutes"),
        ({"every_minutes": None, "cron": "* * * * *"}, "/cron"),
        ({"every_minutes": None, "cron": "0 0 30 2 *"}, "/cron"),
        ({"sql": "x" * 20_001}, "/sql"),
        ({"tenant_id": "rival"}, "/tenant_id"),
    ):
        refused = await cohort_world.define(acme, "buyers", **query)
        assert refused.status_code == 422, (query, refused.text)
        if at:
            assert refused.json()["errors"][0]["at"] == at, refused.text
    assert (await read(acme))["kind"] == "uploaded"
    assert (await acme.post("/v1/cohorts/buyers/run")).status_code == 409


async def test_who_may_not_save_or_preview(cohort_world: World) -> None:
    writer = await cohort_world.plane.client(await cohort_world.plane.make_key("acme", "manage:write", "manage:read"))
    assert (await cohort_world.define(writer, "buyers")).status_code == 403
    assert (await writer.post("/v1/cohort-previews", json={"sql": BUYERS})).status_code == 403
    reader = await cohort_world.plane.client(
        await cohort_world.plane.make_key("acme", *{*ALL_SCOPES} - {"manage:write"})
    )
    assert (await reader.put("/v1/cohorts/buyers/query", json=HOURLY, headers={"If-Match": "*"})).status_code == 403


async def test_a_list_is_uploaded_or_selected_but_not_both(cohort_world: World, acme: AsyncClient) -> None:
    await cohort_world.define(acme, "buyers")
    csv = {"Content-Type": "text/csv", "If-Match": "*"}
    assert (await acme.put("/v1/cohorts/buyers/members", content=b"eve\n", headers=csv)).status_code == 409
    await acme.post("/v1/cohorts", json={"cohort_id": "vip", "name": "VIP"})
    assert (await acme.put("/v1/cohorts/vip/members", content=b"eve\n", headers=csv)).status_code == 200
    assert (await cohort_world.define(acme, "vip")).status_code == 409


async def test_a_preview_tells_a_tenant_of_its_own_users(
    cohort_world: World, acme: AsyncClient, rival: AsyncClient
) -> None:
    for client, users in ((acme, ["ada", "grace"]), (rival, ["rita"])):
        told = (await client.post("/v1/cohort-previews", json={"sql": BUYERS})).json()
        assert (told["count"], sorted(told["sample"])) == (len(users), users)
    refused = await acme.post("/v1/cohort-previews", json={"sql": "SELECT user_id FROM buyers"})
    assert (refused.status_code, refused.json()["errors"][0]["at"]) == (422, "1:21")


async def test_while_analyse_is_away_the_list_stays_and_runs_are_tried_again(
    cohort_world: World, acme: AsyncClient
) -> None:
    await cohort_world.define(acme, "buyers")
    await cohort_world.runs.run_due()
    before, queries = await read(acme), cohort_world.runs._queries
    cohort_world.lose_analyse()
    for pause_s in (60, 120):
        await cohort_world.change("next_run_at = now()")
        assert await cohort_world.runs.run_due()
        async with transaction(cohort_world.plane.owner) as connection:
            wait = await connection.execute(text("SELECT next_run_at - now() FROM cohort WHERE cohort_id = 'buyers'"))
            assert pause_s - 10 < wait.scalar_one().total_seconds() <= pause_s
    told = await read(acme)
    assert "analyse does not answer" in told["last_error"]
    assert [told[name] for name in ("version", "size", "built_at", "received_at")] == [
        before[name] for name in ("version", "size", "built_at", "received_at")
    ]
    assert [build["state"] for build in await list_builds(acme)] == ["failed", "failed", "done"]
    cohort_world.runs._queries = queries
    await cohort_world.change("next_run_at = now()")
    await cohort_world.runs.run_due()
    assert (await read(acme))["last_error"] is None


async def test_a_run_is_held_by_one_process_and_taken_over_from_one_that_ended(
    cohort_world: World, acme: AsyncClient
) -> None:
    await cohort_world.define(acme, "buyers")
    first = await begin_run(cohort_world.plane.engine, "acme", "buyers")
    assert first
    assert await begin_run(cohort_world.plane.engine, "acme", "buyers") is None
    assert not await cohort_world.runs.run_due()
    assert (await acme.post("/v1/cohorts/buyers/run")).json()["build_id"] == str(first.build_id)
    await cohort_world.change("held_until = now() - interval '1 second'")
    assert await cohort_world.runs.run_due()
    builds = [(build["state"], build["error"]) for build in await list_builds(acme)]
    assert builds == [("done", None), ("failed", "its process ended before it did")]
    # It was only paused, and goes on now: what the other has built stays.
    told = await read(acme)
    async with transaction(cohort_world.plane.engine, first.caller) as connection:
        row = await cohorts.find(connection, first.caller, "buyers")
        with pytest.raises(Conflict, match="another process"):
            first.check(row)
    await finish_run(cohort_world.plane.engine, first, Freshness(None, None))
    assert await read(acme) == told


async def test_a_query_that_is_changed_while_it_runs_is_run_anew(cohort_world: World, acme: AsyncClient) -> None:
    await cohort_world.define(acme, "buyers")
    queries = cohort_world.runs._queries

    class Changed:
        """Answers as before; meanwhile the query becomes another."""

        @asynccontextmanager
        async def select(self, tenant_id: str, sql: str) -> AsyncIterator[SelectedUsers]:
            async with queries.select(tenant_id, sql) as selected:
                await cohort_world.define(acme, "buyers", sql="SELECT 'eve' AS user_id")
                yield selected

    cohort_world.runs._queries = Changed()  # type: ignore[assignment]
    assert await cohort_world.runs.run_due()
    [build] = await list_builds(acme)
    assert (build["state"], "changed meanwhile" in build["error"]) == ("refused", True)
    cohort_world.runs._queries = queries
    assert await cohort_world.runs.run_due()
    assert await list_members(acme) == {"eve"}


async def test_tenants_take_turns(cohort_world: World, acme: AsyncClient, rival: AsyncClient) -> None:
    for client, names in ((acme, ("a1", "a2", "a3")), (rival, ("r1",))):
        for name in names:
            await cohort_world.define(client, name)
    await cohort_world.change("next_run_at = now() - interval '1 hour'")
    for served in ("acme", "rival", "acme", "acme"):
        assert await cohort_world.runs.run_due()
        async with transaction(cohort_world.plane.owner) as connection:
            newest = text("SELECT tenant_id FROM cohort WHERE begun_at IS NOT NULL ORDER BY begun_at DESC LIMIT 1")
            assert (await connection.execute(newest)).scalar_one() == served
    assert not await cohort_world.runs.run_due()
    assert await list_members(rival, "r1") == {"rita"}
