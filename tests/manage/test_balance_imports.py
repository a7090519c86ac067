"""Opening balances over HTTP: a file of lots is checked whole, then posted in portions, each row once, whatever is killed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import asyncpg
import psycopg
import pytest
from httpx import AsyncClient, Response

from fillip.core.errors import Crash
from fillip.core.ledger.wallet import Wallet
from fillip.core.local_day import start_day
from fillip.manage.api import balance_imports
from fillip.manage.balance_import import postgres, run, staging_postgres
from fillip.manage.balance_import.lines import BalanceReader, ImportBroken, ImportTerms
from fillip.manage.balance_import.run import ImportRuns
from fillip.manage.erasure import postgres as erasing
from fillip.manage.store.postgres import Connection, open_engine
from fillip.manage.wallet.postgres import store_wallets
from fillip.migrations import role_dsn
from tests import settle
from tests.manage.conftest import Plane
from tests.manage.test_wallets import PURSE, give, in_, spend

BREACHES = (Path(settle.__file__).parent / "wallet_breaches.sql").read_text()
CSV = {"Content-Type": "text/csv"}
PATH = "/v1/balance-imports/legacy"


@pytest.fixture
async def runs(plane: Plane) -> AsyncIterator[ImportRuns]:
    """What posts, as the sweep has it."""
    finder = open_engine(role_dsn(plane.dsn, "fillip_sweep"))
    yield ImportRuns(finder, plane.engine)
    await finder.dispose()


async def send(client: AsyncClient, *lines: str, path: str = PATH, **asked: str) -> Response:
    """Import a file of these lines."""
    return await client.put(path, content="\n".join(lines), headers=CSV, params=asked)


async def post_all(runs: ImportRuns) -> int:
    """Post what is due; how many portions."""
    portions = 0
    while await runs.take_portion():
        portions += 1
    return portions


async def look(client: AsyncClient, user: str, currency: str = "POINTS") -> list[int]:
    """Pending and active."""
    purse = (await client.get(f"/v1/users/{user}/wallets/{currency}")).json()
    return [purse["pending"], purse["active"]]


async def find_breaches(plane: Plane) -> list[str]:
    """What is wrong with acme's wallets."""
    driver = await asyncpg.connect(plane.dsn)
    try:
        [row] = await driver.fetch(BREACHES, "acme", None)
    finally:
        await driver.close()
    return [name for name, count in row.items() if count]


async def test_a_file_comes_into_wallets_lot_by_lot_and_the_sums_are_equal(
    acme: AsyncClient, plane: Plane, runs: ImportRuns
) -> None:
    """Given a debt-free user with points, and a file with two lots of hers, one pending, and one of another user in another currency."""
    await acme.put("/v1/points/STARS", json={"name": "Stars"})
    await give(acme, 5)
    day = (datetime.now(UTC) + timedelta(days=40)).date()
    lines = [
        "id,user_id,amount,currency,expires_at,available_at",
        f"card-1,ada,100,,{day},",
        f"card-2,ada,20,POINTS,,{in_(3)}",
        ',"grace, M.",7,STARS,,2020-01-01',
    ]
    taken = await send(acme, *lines)
    assert (taken.status_code, taken.headers["Location"]) == (202, PATH)
    assert [taken.json()[name] for name in ("state", "rows", "users", "posted_rows")] == ["posting", 3, 2, 0]
    assert await post_all(runs) == 1
    done = (await acme.get(PATH)).json()
    assert [done[name] for name in ("state", "posted_rows", "error")] == ["done", 3, None]
    assert done["sums"] == [
        {"currency": "POINTS", "rows": 2, "users": 1, "amount": 120, "posted_rows": 2, "posted_amount": 120},
        {"currency": "STARS", "rows": 1, "users": 1, "amount": 7, "posted_rows": 1, "posted_amount": 7},
    ]
    assert [await look(acme, "ada"), await look(acme, "grace, M.", "STARS")] == [[20, 105], [0, 7]]
    lots = (await acme.get(f"{PURSE}/lots")).json()["items"]
    midnight = start_day(day + timedelta(days=1), "Europe/Berlin")  # the points are there all of their last day
    assert [(lot["source_id"], lot["kind"], lot["remaining"]) for lot in lots] == [
        ("card-1", "import", 100),
        ("a1", "adjust", 5),
        ("card-2", "import", 20),
    ]
    assert datetime.fromisoformat(lots[0]["expires_at"]) == midnight
    [told] = (await acme.get("/v1/users/grace%2C%20M./wallets/STARS/transfers")).json()["items"]
    assert [told[name] for name in ("kind", "debit", "credit", "source_id", "reason")] == [
        "import",
        "imported",
        "active",
        "4",
        "legacy",
    ]
    assert await find_breaches(plane) == []
    with psycopg.connect(plane.dsn) as owner:
        sums = owner.execute("SELECT currency, sum(amount) FROM wallet_posting WHERE account = 'imported' GROUP BY 1")
        assert sorted(sums) == [("POINTS", -120), ("STARS", -7)]
        for table in ("inbox", "balance_import_portion"):  # nobody's phone rings, and no copy of the file is kept
            assert owner.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


async def test_the_same_file_is_imported_once_and_another_under_its_name_is_refused(
    acme: AsyncClient, runs: ImportRuns
) -> None:
    first = await send(acme, "user_id,amount", "ada,5")
    assert (await send(acme, "user_id,amount", "ada,5")).json() == first.json()
    await post_all(runs)
    again = await send(acme, "user_id,amount", "ada,5")
    assert (again.status_code, again.json()["state"]) == (200, "done")
    other = await send(acme, "user_id,amount", "ada,6")
    assert (other.status_code, other.json()["type"].rpartition("/")[2]) == (409, "conflict")
    assert await post_all(runs) == 0
    at_once = await asyncio.gather(*[send(acme, "user_id,amount", "ada,7", path=f"{PATH}-2") for _ in range(4)])
    assert {answer.status_code for answer in at_once} <= {200, 202, 503}, [answer.text for answer in at_once]
    await post_all(runs)
    assert await look(acme, "ada") == [0, 12]


async def test_what_a_merged_user_held_is_of_who_that_is_by_now(
    acme: AsyncClient, plane: Plane, runs: ImportRuns
) -> None:
    """The file came before the merge, and is posted behind it."""
    sent = await send(acme, "user_id,amount", "anon,30", "bob,5", "ada,2")
    merged = await acme.post("/v1/users/ada/merges", json={"merge_id": "login", "from": "anon"})
    assert (sent.status_code, merged.status_code) == (202, 201)
    await post_all(runs)
    [sums] = (await acme.get(PATH)).json()["sums"]
    assert (sums["posted_rows"], sums["posted_amount"]) == (sums["rows"], sums["amount"]) == (3, 37)
    assert [await look(acme, user) for user in ("ada", "anon", "bob")] == [[0, 32], [0, 32], [0, 5]]
    assert not await find_breaches(plane)


async def test_a_dry_run_sums_up_and_stores_nothing(acme: AsyncClient, runs: ImportRuns) -> None:
    checked = await send(acme, "user_id,amount", "ada,5", "ada,6", "grace,1", dry_run="true")
    assert (checked.status_code, checked.json()["state"], checked.json()["users"]) == (200, "checked", 2)
    assert checked.json()["sums"][0]["amount"] == 12
    assert (await acme.get(PATH)).status_code == 404
    assert await post_all(runs) == 0
    assert (await send(acme, "user_id,amount", "ada,x", dry_run="true")).status_code == 422


HEAD = "user_id,amount,currency,available_at,expires_at,id"


@pytest.mark.parametrize(
    ("lines", "faults"),
    [
        (["user_id"], {"line 1": "`amount` is missing: the first line names the columns"}),
        (["ada,5", "eve,6"], {"line 1": "a column is none of these"}),
        (["user_id;amount", "ada;5"], {"line 1": "with commas between them"}),
        (["user_id,amount,tier", "ada,5,gold"], {"line 1": "a column is none of these"}),
        (["user_id,amount,amount", "ada,5,5"], {"line 1": "`amount` stands twice"}),
        (["user_id,amount"], {"line 1": "no rows"}),
        ([HEAD, "ada,5"], {"line 2": "has 2 columns, the first line 6"}),
        ([HEAD, "", "ada,5,,,,"], {"line 2": "empty: leave it out"}),
        ([HEAD, '"ada,5,,,,'], {"line 2": "a quote that is not closed"}),
        ([HEAD, ",5,,,,", ".,5,,,,"], {"line 2, user_id": "empty", "line 3, user_id": "must not be . or .."}),
        ([HEAD, "x" * 257 + ",5,,,,"], {"line 2, user_id": "longer than 256 bytes"}),
        (
            [HEAD, *(f"ada,{amount},,,," for amount in ("0", "-5", "1.5", "", "1 000", "٣", "1000000000001"))],
            {f"line {line}, amount": "must be a whole number from 1 to 1,000,000,000,000" for line in range(2, 9)},
        ),
        ([HEAD, "ada,5,GOLD,,,"], {"line 2, currency": "no currency of points: make it by PUT /v1/points/"}),
        ([HEAD, "ada,5,,,31.12.2027,"], {"line 2, expires_at": "must be a day such as 2026-01-31"}),
        ([HEAD, "ada,5,,2027-02-30,,"], {"line 2, available_at": "must be a day such as 2026-01-31"}),
        ([HEAD, "ada,5,,,2020-01-31,"], {"line 2, expires_at": "lies in the past"}),
        ([HEAD, "ada,5,,2999-01-02,2999-01-01,"], {"line 2, available_at": "lies behind `expires_at`"}),
        ([HEAD, "ada,5,,,,\0"], {"line 2, id": "a NUL character"}),
    ],
)
def test_what_is_wrong_is_named_by_line_and_column(lines: Sequence[str], faults: dict[str, str]) -> None:
    terms = ImportTerms(frozenset({"POINTS"}), "Europe/Berlin", "live", datetime.now(UTC))
    reader = BalanceReader(BytesIO(), terms)
    with pytest.raises(ImportBroken) as broken:
        for piece in "\n".join(lines).encode():  # a byte at a time: however the file is cut, the lines are the same
            reader.feed(bytes([piece]))
        reader.finish()
        reader.refuse()
    told = {fault.at: fault.message for fault in broken.value.faults}
    assert list(told) == list(faults)
    for place, message in faults.items():
        assert message in told[place]


async def test_of_a_file_with_a_fault_nothing_is_imported(acme: AsyncClient, runs: ImportRuns) -> None:
    refused = await send(acme, HEAD, "ada,5,,,,c", "eve,5,,,,d", "eve,5,,,,c")
    assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (422, "upload-broken")
    assert refused.json()["errors"] == [{"at": "line 4, id", "message": "stands in line 2 already"}]
    assert (await acme.get(PATH)).status_code == 404 and await post_all(runs) == 0


async def test_of_many_faults_the_first_are_shown_and_all_are_counted(acme: AsyncClient) -> None:
    refused = await send(acme, "user_id,amount", *(["ada,-1"] * 250))
    assert len(refused.json()["errors"]) == 100 and "250 faults in all" in refused.json()["detail"]
    assert "ada" not in refused.text  # what stands in a line may be about a person
    twice = await send(acme, "user_id,amount,id", *(["ada,1,x"] * 251))
    assert len(twice.json()["errors"]) == 100 and "250 faults in all" in twice.json()["detail"]


async def test_what_does_not_expire_by_itself_gets_no_date(acme: AsyncClient, plane: Plane) -> None:
    with psycopg.connect(plane.dsn) as owner:
        owner.execute("UPDATE tenant SET clock = 'history' WHERE tenant_id = 'acme'")
    refused = await send(acme, "user_id,amount,expires_at", f"ada,5,{in_(9)}")
    assert "clock history" in refused.json()["errors"][0]["message"]


async def test_a_file_beyond_its_bounds_is_refused(acme: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balance_imports, "MAX_ROWS", 2)
    monkeypatch.setattr(balance_imports, "MAX_OPEN", 1)
    assert (await send(acme, "user_id,amount", "a,1", "a,1", "a,1")).status_code == 413
    assert (await acme.put(PATH, content="x", headers={"Content-Type": "application/json"})).status_code == 415
    assert (await send(acme, "user_id,amount", "a,1")).status_code == 202
    assert (await send(acme, "user_id,amount", "a,1", path=f"{PATH}-2")).status_code == 409


async def test_whatever_is_cut_off_each_row_is_posted_once_beside_what_else_moves(
    acme: AsyncClient, plane: Plane, runs: ImportRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given 60 rows in portions of 4, two processes that post, of which every third portion is cut off before its commit, and
    users who spend and are given points meanwhile.
    """
    monkeypatch.setattr(staging_postgres, "PORTION_ROWS", 4)
    monkeypatch.setattr(run, "LATER", timedelta(0))
    cut, commits = 0, store_wallets

    async def store_or_break(connection: Connection, *moved: Wallet) -> None:
        nonlocal cut
        await commits(connection, *moved)
        cut += 1
        if cut % 3 == 0:
            raise Crash("cut off")

    monkeypatch.setattr(postgres, "store_wallets", store_or_break)
    await give(acme, 50)
    rows = [f"{'ada' if n % 3 else f'u{n % 7}'},{n + 1}" for n in range(60)]
    assert (await send(acme, "user_id,amount", *rows)).status_code == 202

    async def post() -> None:
        while (await acme.get(PATH)).json()["state"] != "done":
            await runs.take_portion()

    async def move() -> None:
        for n in range(10):
            assert await spend(acme, 1, f"s{n}") == 201
            await give(acme, 1, f"b{n}")

    await asyncio.gather(post(), post(), move())
    done = (await acme.get(PATH)).json()
    assert cut > 15 and done["posted_rows"] == 60
    assert done["sums"][0]["posted_amount"] == done["sums"][0]["amount"] == 60 * 61 // 2
    purses = [await look(acme, user) for user in ("ada", *(f"u{n}" for n in range(7)))]
    assert sum(active for _, active in purses) == 50 + 60 * 61 // 2
    assert await find_breaches(plane) == []


async def test_what_breaks_down_is_told_and_tried_again_and_others_go_on(
    acme: AsyncClient, plane: Plane, runs: ImportRuns
) -> None:
    """Given an import into a wallet that is full, and a later one of another user."""
    await give(acme, 1)
    with psycopg.connect(plane.dsn) as owner:
        owner.execute("UPDATE wallet SET active = %s", [2**63 - 3])
    await send(acme, "user_id,amount", "ada,5")
    await send(acme, "user_id,amount", "eve,5", path=f"{PATH}-2")
    for _ in range(2):
        assert await runs.take_portion()
    waiting = (await acme.get(PATH)).json()
    assert (waiting["state"], waiting["posted_rows"]) == ("posting", 0) and waiting["error"].startswith("it broke down")
    assert await look(acme, "eve") == [0, 5]
    with psycopg.connect(plane.dsn) as owner:
        owner.execute("UPDATE wallet SET active = 1 WHERE user_id = 'ada'")
        owner.execute("UPDATE balance_import SET next_at = now() WHERE next_at IS NOT NULL")
    await post_all(runs)
    assert ((await acme.get(PATH)).json()["error"], await look(acme, "ada")) == (None, [0, 6])


async def test_an_erasure_waits_for_imports_that_may_name_the_user(
    acme: AsyncClient, plane: Plane, runs: ImportRuns
) -> None:
    await send(acme, "user_id,amount,id", "ada,5,card-of-ada")
    await acme.post("/v1/users/ada/erasure")
    finder = open_engine(role_dsn(plane.dsn, "fillip_sweep"))
    held = await erasing.begin_step(finder, plane.engine)
    await finder.dispose()
    assert held is not None and not await erasing.are_imported(plane.engine, held)
    await post_all(runs)
    assert await erasing.are_imported(plane.engine, held)
    await erasing.erase_ledger(plane.engine, held)
    with psycopg.connect(plane.dsn) as owner:
        [told] = owner.execute("SELECT kind, source_id, reason, user_id FROM wallet_transfer").fetchall()
        left = owner.execute("SELECT count(*) FROM wallet_lot WHERE user_id = 'ada'").fetchone()
    assert (told[0], told[2], left) == ("import", "legacy", (0,)) and "ada" not in told[1] + told[3]
