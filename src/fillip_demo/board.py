"""The live board of the replay: on a terminal redrawn in place, elsewhere a line every few seconds."""

import asyncio
from collections import Counter

from rich.bar import Bar
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fillip_demo.tally import Rates, Tally, percentile

DRAW_EVERY_S = 0.33
SAY_EVERY_S = 3.0
TOP = 8
_GAP = Text(" ")


async def show_board(screen: Console, tally: Tally) -> None:
    """Show the tally until cancelled; the last state stays on the screen."""
    rates = Rates()
    while not screen.is_terminal:
        await asyncio.sleep(SAY_EVERY_S)
        screen.print(write_line(tally, rates.note(tally)), highlight=False, soft_wrap=True)
    with Live(console=screen, auto_refresh=False, vertical_overflow="crop") as live:
        try:
            while True:
                live.update(draw_board(tally, rates.note(tally)), refresh=True)
                await asyncio.sleep(DRAW_EVERY_S)
        finally:
            live.update(draw_board(tally, None), refresh=True)


def write_line(tally: Tally, rates: tuple[float, float]) -> str:
    """The board in one line."""
    granted, denied = tally.count("granted").total(), tally.count("denied").total()
    recent = tally.recent_ms()
    return (
        f"{tally.elapsed_s:5.0f} s  sent {tally.sent:,} ({rates[0]:,.0f}/s)  settled {tally.settled:,} "
        f"({rates[1]:,.0f}/s)  granted {granted:,}  refused {denied:,}  frames {tally.frames:,}  "
        f"event to frame p50 {_span(percentile(recent, 0.5))} p99 {_span(percentile(recent, 0.99))}"
    )


def draw_board(tally: Tally, rates: tuple[float, float] | None) -> RenderableType:
    """The whole board; `rates` are (sent, settled) a second now, None for the mean of the whole run."""
    elapsed_s = max(tally.elapsed_s, 1e-3)
    rates = rates or (tally.sent / elapsed_s, tally.settled / elapsed_s)
    title = f"A year of grocery shopping: {tally.settled:,} of {tally.total:,} events decided, {elapsed_s:.0f} s"
    beside = Table.grid(expand=True, padding=(0, 3))
    beside.add_column(ratio=6)
    beside.add_column(ratio=5)
    beside.add_row(_draw_steps(tally, rates), _draw_refusals(tally))
    bar = ProgressBar(total=tally.total, completed=tally.settled)
    middle, late = (_span(percentile(tally.recent_ms(), share)) for share in (0.5, 0.99))
    latency = Text.assemble("event to frame, with the backlog  ", "p50 ", (middle, "bold"), "  p99 ", (late, "bold"))
    parts = [bar, _GAP, _GAP, beside, _GAP, latency, _GAP, _draw_campaigns(tally), *_draw_accidents(tally)]
    return Panel(Padding(Group(*parts), (0, 1)), title=title, title_align="left", border_style="cyan")


def _draw_steps(tally: Tally, rates: tuple[float, float]) -> Table:
    table = _table("step", "so far", "a second", "behind")
    table.add_row("sent to Kafka", f"{tally.sent:,}", f"{rates[0]:,.0f}", "")
    table.add_row("decided, stored", f"{tally.settled:,}", f"{rates[1]:,.0f}", f"{tally.sent - tally.settled:,} events")
    table.add_row("announced", f"{tally.decisions:,}", "", f"{tally.unannounced_bytes / 1000:,.0f} kB of WAL")
    table.add_row(f"on {tally.phones} phones", f"{tally.frames:,}", "", f"{max(0, tally.told - tally.frames):,} frames")
    return table


def _draw_refusals(tally: Tally) -> Table:
    table = _table("decisions", "so far")
    table.add_row("granted", f"[bold green]{tally.count('granted').total():,}[/]")
    for reason, number in tally.count("denied").most_common():
        table.add_row(f"refused: {reason}", f"[bold yellow]{number:,}[/]")
    return table


def _draw_campaigns(tally: Tally) -> Table:
    granted: Counter[str] = Counter()
    denied: Counter[str] = Counter()
    for (campaign, outcome, _), number in tally.outcomes.items():
        (granted if outcome == "granted" else denied)[campaign] += number
    table = _table("campaign", "granted", "refused")
    table.add_column(ratio=1)
    most = granted.most_common(1)[0][1] if granted else 1
    for campaign, number in granted.most_common(TOP):
        bar = Bar(most, 0, number, color="green")
        table.add_row(campaign, f"{number:,}", f"{denied[campaign]:,}" if denied[campaign] else "", bar)
    rest = sum(granted.values()) - sum(number for _, number in granted.most_common(TOP))
    if rest:
        table.add_row(f"[dim]{len(granted) - TOP} more[/]", f"[dim]{rest:,}[/]", "", "")
    table.expand = True
    return table


def _draw_accidents(tally: Tally) -> list[RenderableType]:
    lines: list[RenderableType] = []
    if tally.kills:
        lines.append(Text(f"worker killed (-9) and started again: {tally.kills} times", style="bold red"))
    if tally.crashes:
        lines.append(Text(f"ended by itself and started again: {', '.join(tally.crashes)}", style="bold red"))
    return lines


def _table(first: str, *numbers: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(first, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _span(ms: float) -> str:
    return f"{ms / 1000:,.1f} s" if ms >= 1000 else f"{ms:,.0f} ms"
