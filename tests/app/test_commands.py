"""The command line without a running instance."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

SRC = Path(__file__).parents[2] / "src"


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """An environment that has every package that Fillip needs, but where Fillip itself was not installed."""
    for entry in Path(typer.__file__).parents[1].iterdir():
        if not entry.name.startswith("fillip-"):
            (tmp_path / entry.name).symlink_to(entry)
    return os.environ | {"PYTHONPATH": f"{SRC}:{tmp_path}"}


def test_a_demo_that_is_not_installed_is_one_line_that_says_what_to_do(bare: dict[str, str]) -> None:
    ended = subprocess.run([sys.executable, "-S", "-m", "fillip.app.cli", "demo"], env=bare, capture_output=True)

    assert ended.returncode == 1
    assert ended.stderr.startswith(b"fillip: the demo is not installed") and ended.stderr.count(b"\n") == 1
    assert b"pip install" in ended.stderr
