"""A user is erased from facts, rows and day files: nothing tells of the user, and reports say what they said."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest

from fillip.analyse.day_files import duckdb as day_files
from fillip.analyse.day_files.erasing_duckdb import FILED_AGAIN, erase
from fillip.analyse.duckdb.bay import DuckdbBay
from fillip.core.identity import identify, identify_event
from fillip.http.erasure_order import ErasureOrder
from tests.analyse.bay_world import EVERYTHING, decision, event, incentive, rejection, reversal
from tests.analyse.test_day_files import NOW_MS, TOPICS, ask, load, load_events, reject

USER = "canary 'u' 7"
PSEUDONYM = f"erased-{7:032x}"
NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)
ORDER = ErasureOrder(
    "acme", USER, PSEUDONYM, UUID(int=7), NOW + timedelta(seconds=1), {}, [UUID(str(identify(str(90))))]
)
COUNTS = {
    "events": "SELECT count(*) AS n, count(DISTINCT user_id) AS u, count(DISTINCT id) AS i, min(occurred_at) AS t FROM events",
    "decisions": "SELECT outcome, reason, count(*) AS n, count(DISTINCT user_id) AS u, count(DISTINCT event_id) AS e"
    " FROM decisions GROUP BY ALL ORDER BY ALL",
    "incentives": "SELECT kind, sum(value) AS v, count(DISTINCT user_id) AS u FROM incentives GROUP BY ALL",
    "incentive_reversals": "SELECT kind, sum(value) AS v, count(DISTINCT user_id) AS u FROM incentive_reversals GROUP BY ALL",
    "rejections": "SELECT reason, count(*) AS n FROM rejections GROUP BY ALL",
    "both": "SELECT count(*) AS n FROM decisions d JOIN events e ON e.id = d.event_id AND e.source = d.event_source",
}


def mine(make: Any, number: int, **columns: Any) -> dict[str, Any]:
    """The announcement of something of the user's."""
    names = {"user_id": USER, "event_id": f"canary-{number}", "event_source": "/canary"}
    message: dict[str, Any] = make(number, **names, **columns)
    return message


async def live(bay: DuckdbBay, first: int) -> None:
    """Some rows of the user and of others, of numbers from `first` on."""
    numbers = range(first, first + 6)
    sent = [event(f"canary-{n}", user=USER, name="canary").replace(b'"/till"', b'"/canary"') for n in numbers]
    await load_events(bay, first * 10, *sent, *(event(f"e{n}", user="u9") for n in numbers))
    made = [mine(decision, n, instance=f"canary#{n}" if n % 2 else "") for n in numbers]
    await load(bay, TOPICS.decided, *made, *(decision(n) for n in range(first + 6, first + 9)))
    await load(bay, TOPICS.generated, *(mine(incentive, n) for n in numbers))
    await load(bay, TOPICS.reversed, reversal(first, first, 9, user_id=USER, reason="canary"))


async def test_nothing_tells_of_an_erased_user_and_reports_say_what_they_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(day_files, "MANY_ROWS", 1)
    async with DuckdbBay.open(tmp_path / "a.duckdb", TOPICS) as bay:
        await live(bay, 1)
        await load(bay, TOPICS.rejected, rejection(90, detail="canary", event_id="canary-x", event_source="/canary"))
        broken = decision(19, campaign_id=None, user_id=USER)
        await load(bay, TOPICS.decided, broken)
        await bay.day_files.write_out()
        await live(bay, 20)  # these stand in no file yet
        await load_events(bay, 900, event("canary-1", user=USER).replace(b'"/till"', b'"/canary"'))  # a repeat
        late = (NOW + timedelta(minutes=1)).isoformat().replace("+00:00", "Z")
        await load(bay, TOPICS.decided, decision(60, user_id="canary-not", decided_at=late))
        before = [await ask(bay, sql) for sql in COUNTS.values()], await bay.report_campaign_days(EVERYTHING)
        assert before[0][-1] == [(6 + 6,)]

        assert await erase(bay.day_files, ORDER) == FILED_AGAIN
        assert await erase(bay.day_files, ORDER) == FILED_AGAIN  # again changes nothing
        after = [await ask(bay, sql) for sql in COUNTS.values()], await bay.report_campaign_days(EVERYTHING)
        assert after == before
        key = str(identify_event("acme", "/canary", "canary-1"))
        asked = f"SELECT id, source, data::varchar AS data, user_id FROM events WHERE id = '{key}'"
        assert await ask(bay, asked) == [(key, "erased", "{}", PSEUDONYM)]

        monkeypatch.setattr(day_files, "KEPT_S", 0)
        await bay.day_files.remove(400)
        assert await erase(bay.day_files, ORDER) == ""
        await bay.day_files.write_out()
    assert dump(tmp_path / "a.duckdb") == []
    filed = read_files(tmp_path / "bay")
    assert len(filed) > 5 and all("canary" not in text.replace("canary-not", "") for text in filed)


async def test_what_came_after_the_cut_is_a_new_users(tmp_path: Path) -> None:
    async with DuckdbBay.open(tmp_path / "a.duckdb", TOPICS) as bay:
        late = (NOW + timedelta(minutes=1)).isoformat().replace("+00:00", "Z")
        await load(bay, TOPICS.decided, mine(decision, 1), mine(decision, 2, decided_at=late))
        assert await erase(bay.day_files, ORDER) == ""
        asked = "SELECT user_id, event_source FROM decisions ORDER BY ALL"
        assert await ask(bay, asked) == [(USER, "/canary"), (PSEUDONYM, "erased")]
        [day] = await bay.report_campaign_days(EVERYTHING)
        assert day.unique_users == 2


async def test_rejected_events_stay_struck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(day_files, "MANY_ROWS", 1)
    async with DuckdbBay.open(tmp_path / "a.duckdb", TOPICS) as bay:
        await load_events(bay, 0, event("a", user=USER), event("b", user=USER))
        await bay.day_files.write_out()
        await reject(bay, 1, 0, 0)
        await erase(bay.day_files, ORDER)
        assert await ask(bay, "SELECT count(*) AS n FROM events") == [(1,)]
        await load_events(bay, 5, event("b", user=USER))  # it is known still
        assert await ask(bay, "SELECT count(*) AS n FROM events") == [(1,)]


def dump(file: Path) -> list[str]:
    """Rows of a DuckDB file that tell of the user."""
    with duckdb.connect(str(file), read_only=True) as bay:
        tables = [name for (name,) in bay.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        rows = [str(row) for name in tables for row in bay.execute(f"SELECT t::varchar FROM {name} t").fetchall()]
    return [row for row in rows if "canary" in row.replace("canary-not", "")]


def read_files(folder: Path) -> list[str]:
    """All rows of day files."""
    whole = "SELECT string_agg(t::varchar) FROM read_parquet(?) t"
    return [str(duckdb.execute(whole, [str(file)]).fetchall()) for file in folder.rglob("*.parquet")]
