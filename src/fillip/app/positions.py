"""`fillip positions`: the stored positions beside the log that they stand for, and how to go on with another log."""

import asyncio
from typing import Literal

from msgspec import Struct
from rich.box import SIMPLE_HEAD
from rich.table import Table

from fillip.app.settings import Settings
from fillip.cohort.positions_postgres import list_positions as list_counted
from fillip.cohort.positions_postgres import restart_positions as restart_counted
from fillip.core.errors import Refused, Retry
from fillip.settle.positions.postgres import list_positions, restart_positions
from fillip.stream.belt import Position
from fillip.stream.fit import Log, find_misfit
from fillip.stream.kafka import Away, read_log
from fillip.stream.topics import Topics

Reader = Literal["worker", "cohort"]


class Standing(Struct, frozen=True):
    """A partition: whose position is stored, the log as it is, and why the one does not fit the other (None: it does)."""

    reader: Reader
    partition: int
    stored: Position
    log: Log
    misfit: str | None


def look(settings: Settings) -> list[Standing]:
    """Every partition of the events' topic that has a stored position, of the workers and of cohorts. Raises Refused, Retry."""
    topic = Topics(settings.topic_prefix).received
    try:
        logs = asyncio.run(read_log(settings.kafka_bootstrap, topic, settings.kafka_security))
    except Away as away:
        raise Retry(str(away)) from away
    stored: dict[Reader, dict[int, Position]] = {
        "worker": asyncio.run(list_positions(settings.dsn("fillip_worker"), topic)),
        "cohort": asyncio.run(list_counted(settings.dsn("fillip_cohort"), topic)),
    }
    if lost := stored["worker"].keys() - logs.keys():
        named = ", ".join(map(str, sorted(lost)))
        raise Refused(
            f"topic {topic} lacks partitions that positions are stored for: {named}. Make it as wide as it was"
        )
    return [
        Standing(reader, n, at, logs[n], find_misfit(at, logs[n]) if reader == "worker" else _find_ahead(at, logs[n]))
        for reader, positions in stored.items()
        for n, at in sorted(positions.items())
        if n in logs
    ]


def restart(settings: Settings) -> list[Standing]:
    """Go on with the log as it is, at its first offset, where the stored position does not fit it; those partitions.

    The others stay as they are. Raises Refused, Retry.
    """
    misfits = [each for each in look(settings) if each.misfit]
    topic = Topics(settings.topic_prefix).received
    decided, counted = ([e for e in misfits if e.reader == reader] for reader in ("worker", "cohort"))
    seen, logs = ({e.partition: e.stored for e in decided}, {e.partition: e.log for e in decided})
    asyncio.run(restart_positions(settings.dsn("fillip_worker"), topic, seen, logs))
    seen, first = {e.partition: e.stored for e in counted}, {e.partition: e.log.first for e in counted}
    asyncio.run(restart_counted(settings.dsn("fillip_cohort"), topic, seen, first))
    return misfits


def tabulate(standings: list[Standing]) -> Table:
    """The partitions as a table for people."""
    table = Table(box=SIMPLE_HEAD, header_style="dim", border_style="dim")
    table.add_column("")
    for name in ("partition", "stored offset", "generation", "log from", "log to"):
        table.add_column(name, justify="right")
    table.add_column("")
    for each in standings:
        numbers = (each.partition, each.stored.next_offset, each.stored.generation, each.log.first, each.log.end)
        told = f"[bold red]{each.misfit}[/]" if each.misfit else "[green]fits[/]"
        table.add_row(each.reader, *map(str, numbers), told)
    return table


def _find_ahead(stored: Position, log: Log) -> str | None:
    """Of a log that is new, or begins later, cohorts go on by themselves: to count again adds nothing."""
    return find_misfit(stored, log) if stored.topic_id == log.topic_id and stored.next_offset > log.end else None
