"""Figures that commands show: when they are met, and how they are written."""

import io
from pathlib import Path

from msgspec import json
from rich.console import Console

from fillip.figures import at_most, expect, note, tabulate, write_figures


def test_a_figure_is_ok_only_when_its_goal_is_met() -> None:
    assert expect("granted", 27, 27).ok and not expect("granted", 27, 26).ok
    assert at_most("p99", 60, 60.0, "ms").ok and not at_most("p99", 60, 60.1, "ms").ok
    assert note("memory", 5, "MB").ok


def test_figures_are_written_as_a_list_of_five_fields(tmp_path: Path) -> None:
    path = write_figures("x", [expect("granted", 27, 26), note("memory", 5, "MB")], tmp_path)

    assert json.decode(path.read_bytes()) == [
        {"name": "granted", "goal": "= 27", "got": 26, "unit": "", "ok": False},
        {"name": "memory", "goal": "", "got": 5, "unit": "MB", "ok": True},
    ]


def test_a_missed_goal_is_named_in_the_table() -> None:
    shown = _render(tabulate("Counts", [expect("granted", 2_075, 2_074), expect("refused", 27, 27)]))

    assert "= 2,075" in shown and "2,074" in shown and "missed" in shown and "ok" in shown


def _render(what: object) -> str:
    screen = Console(width=110, file=io.StringIO(), record=True)
    screen.print(what)
    return screen.export_text()
