"""Figures that a command shows: the goal and what was got, as a table and as build/figures/NAME.json."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct, json
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

FOLDER = Path("build/figures")
WIDE = 120
Value = int | float | str


class Figure(Struct, frozen=True):
    """One measured or counted thing; `goal` is text such as '= 27', '<= 15' or '' where nothing is aimed at."""

    name: str
    goal: str
    got: Value
    unit: str
    ok: bool


def expect(name: str, goal: Value, got: Value, unit: str = "") -> Figure:
    """A figure that must be exactly `goal`."""
    return Figure(name, f"= {_write(goal)}", got, unit, got == goal)


def at_most(name: str, goal: float, got: float, unit: str = "") -> Figure:
    """A figure that should not be above `goal`."""
    return Figure(name, f"<= {_write(goal)}", got, unit, got <= goal)


def at_least(name: str, goal: float, got: float, unit: str = "") -> Figure:
    """A figure that should not be below `goal`."""
    return Figure(name, f">= {_write(goal)}", got, unit, got >= goal)


def note(name: str, got: Value, unit: str = "") -> Figure:
    """A figure without a goal."""
    return Figure(name, "", got, unit, True)


def write_figures(name: str, figures: Sequence[Figure], folder: Path = FOLDER) -> Path:
    """Write FOLDER/NAME.json, a list of {name, goal, got, unit, ok}, under the working directory; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_bytes(json.format(json.encode(figures), indent=2) + b"\n")
    return path


def open_screen() -> Console:
    """A console as wide as the terminal; where there is none, wide enough that no table breaks its lines."""
    screen = Console()
    return screen if screen.is_terminal else Console(width=WIDE)


def tabulate(title: str, figures: Iterable[Figure]) -> Table:
    """The figures as a table for people; red where a goal was missed."""
    table = Table(
        box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", header_style="dim", border_style="dim"
    )
    table.add_column("figure")
    table.add_column("goal", justify="right")
    table.add_column("got", justify="right")
    table.add_column("unit")
    table.add_column("")
    for each in figures:
        verdict = "[bold red]missed[/]" if not each.ok else "[green]ok[/]" if each.goal else ""
        table.add_row(each.name, each.goal, _write(each.got), each.unit, verdict)
    return table


def show_figures(title: str, name: str, figures: Sequence[Figure], screen: Console | None = None) -> bool:
    """Print the table, write the file, say where it is; whether every figure is ok."""
    screen = screen or open_screen()
    screen.print(tabulate(title, figures))
    screen.print(f"[dim]written to {write_figures(name, figures)}[/]", highlight=False)
    return all(each.ok for each in figures)


def _write(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.3g}"
    return f"{value:,}" if isinstance(value, int) else value
