"""The models of docs/operate/lakehouse.md say what reports say: over files as the API exports them, and over ClickHouse."""

import re
from pathlib import Path

import duckdb
import msgspec
import pytest

from fillip.analyse import Queries
from fillip.stream.topics import Topics
from tests.analyse.bay_world import EVERYTHING, decision, emptied, reversal, transfer
from tests.analyse.stores import ABSENT, load, new_clickhouse, open_clickhouse, open_duckdb
from tests.analyse.test_liability import LIFE
from tests.analyse.test_liability import ask as ask_liability

PAGE = (Path(__file__).parents[2] / "docs" / "operate" / "lakehouse.md").read_text()
MODELS = {name: sql for sql, name in re.findall(r"^```sql\n(-- (\S+)\n.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)}
"""By the path that each begins with."""
NAMED = re.compile(r"\{\{ (?:source\('fillip', |ref\(|var\()['\"](\w+)['\"]\) \}\}")


def test_the_sink_reads_topics_that_there_are() -> None:
    (sink,) = (
        msgspec.json.decode(text) for text in re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    )
    assert set(sink["config"]["topics"].split(",")) <= {*Topics().loaded}


def render(name: str, **names: str) -> str:
    """A model, as dbt makes SQL of it."""
    return NAMED.sub(lambda found: names[found[1]], MODELS[name])


async def test_sums_over_exported_files_equal_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("export").mkdir()
    async with open_duckdb(tmp_path) as bay, Queries.open(bay.day_files) as queries:
        given = [decision(n, local_day=f"2026-03-0{n % 4 + 1}", campaign_id=f"c{n % 2}") for n in range(1, 20)]
        await load(bay, *given, reversal(40, 1, 100), reversal(41, 4, 5, kind="points", currency=None))
        for view in ("decisions", "incentive_reversals"):
            async with queries.answer("acme", f"SELECT * FROM {view}", "parquet") as answer:
                Path(f"export/{view}.parquet").write_bytes(answer.file.read_bytes())
        lines = await bay.report_campaign_days(EVERYTHING)
    files = {view: f"read_parquet('export/{view}.parquet')" for view in ("decisions", "incentive_reversals")}
    with duckdb.connect() as lake:
        lake.execute(f"CREATE TABLE spend AS {render('models/spend_by_day.sql', **files)}")
        assert lake.sql("FROM spend WHERE reversed > 0").fetchall() != []
        wrong = render("tests/sums_equal_the_report.sql", spend_by_day="spend")
        Path("export/report.json").write_bytes(msgspec.json.encode({"items": lines, "next_cursor": None}))
        assert lake.sql(wrong).fetchall() == []
        Path("export/report.json").write_bytes(msgspec.json.encode({"items": lines[1:], "next_cursor": None}))
        assert lake.sql(wrong).fetchall() != []


@pytest.mark.clickhouse
@pytest.mark.skipif(bool(ABSENT), reason=ABSENT)
async def test_points_outstanding_over_clickhouse_equal_the_report() -> None:
    with new_clickhouse() as connect:
        async with open_clickhouse(connect) as bay:
            log = await load(bay, *LIFE)
            for _ in range(2):
                sql = render("clickhouse/models/outstanding.sql", fact="fact", tenant="acme")
                told = [(line.currency, line.outstanding) for line in await bay.report_liability(ask_liability())]
                assert sorted(map(tuple, connect().query(sql).result_rows)) == told != []
                again = transfer(1, "grant", "issued", "active", 8, op="r", epoch="e2")
                await load(bay, emptied("wallet_transfer", 0, "e2"), again, log=log)
