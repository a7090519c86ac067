"""Whatever stands in a row: it is announced or set aside, once, and everything that reads goes on."""

from pathlib import Path

from tests.publish.conftest import Site
from tests.publish.extremes import drive


async def test_rows_of_extremes_end_nothing_and_none_is_lost(site: Site, tmp_path: Path) -> None:
    outcome = await drive(site, tmp_path, count=900, seed=1)
    assert outcome.wrong == []
    assert outcome.refused < 250
    for table in ("decision", "incentive", "incentive_change", "rejection", "quest_instance"):
        assert outcome.announced[table] > 20 and outcome.set_aside[table] > 5, table
    assert outcome.announced["book_change"] > 20
    assert outcome.set_aside["limit_counter"] > 0
    assert outcome.shown > 5
