"""The short form of `python -m tests.proof.wal`: publish and analyse killed, the slot dropped, and nothing differs."""

from pathlib import Path

from tests.proof.wal import prove_wal
from tests.publish.conftest import Site


async def test_the_bay_and_valkey_are_equal_to_postgresql_whatever_is_killed(site: Site, tmp_path: Path) -> None:
    told: list[str] = []
    figures = await prove_wal(site, tmp_path, 0, told.append, own_server=False)
    assert [figure for figure in figures if not figure.ok] == [], told
