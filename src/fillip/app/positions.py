"""`fillip positions`: the stored positions beside the log that they stand for, and how to go on with another log."""

import asyncio

from msgspec import Struct
from rich.box import SIMPLE_HEAD
from rich.table import Table

from fillip.app.settings import Settings
from fillip.core.errors import Refused, Retry
from fillip.settle.positions.postgres import list_positions, restart_positions
from fillip.stream.belt import Position
from fillip.stream.fit import Log, find_misfit
from fillip.stream.kafka import Away, read_log
from fillip.stream.topics import Topics


class Standing(Struct, frozen=True):
    """A partition: what is stored, the log as it is, and why the one does not fit the other (None: it does)."""

    partition: int
    stored: Position
    log: Log
    misfit: str | None


def look(settings: Settings) -> list[Standing]:
    """Every partition of the events' topic that has a stored position. Raises Refused, Retry."""
    topic = Topics(settings.topic_prefix).received
    try:
        logs = asyncio.run(read_log(settings.kafka_bootstrap, topic, settings.kafka_security))
    except Away as away:
        raise Retry(str(away)) from away
    stored = asyncio.run(list_positions(settings.dsn("fillip_worker"), topic))
    if lost := stored.keys() - logs.keys():
        named = ", ".join(map(str, sorted(lost)))
        raise Refused(
            f"topic {topic} lacks partitions that positions are stored for: {named}. Make it as wide as it was"
        )
    return [Standing(n, at, logs[n], find_misfit(at, logs[n])) for n, at in sorted(stored.items())]


def restart(settings: Settings) -> list[Standing]:
    """Go on with the log as it is, at its first offset, where the stored position does not fit it; those partitions.

    The others stay as they are. Raises Refused, Retry.
    """
    misfits = [each for each in look(settings) if each.misfit]
    seen, logs = ({e.partition: e.stored for e in misfits}, {e.partition: e.log for e in misfits})
    topic = Topics(settings.topic_prefix).received
    asyncio.run(restart_positions(settings.dsn("fillip_worker"), topic, seen, logs))
    return misfits


def tabulate(standings: list[Standing]) -> Table:
    """The partitions as a table for people."""
    table = Table(box=SIMPLE_HEAD, header_style="dim", border_style="dim")
    for name in ("partition", "stored offset", "generation", "log from", "log to"):
        table.add_column(name, justify="right")
    table.add_column("")
    for each in standings:
        numbers = (each.partition, each.stored.next_offset, each.stored.generation, each.log.first, each.log.end)
        table.add_row(*map(str, numbers), f"[bold red]{each.misfit}[/]" if each.misfit else "[green]fits[/]")
    return table
