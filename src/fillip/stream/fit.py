"""Whether a stored position can be read on from: it means something in the one log that it was stored for."""

from collections.abc import Mapping

from msgspec import Struct

from fillip.stream.belt import Position

HELP = "`fillip positions show` compares, `fillip positions restart` reads the log as it is from its first offset"


class Log(Struct, frozen=True):
    """A partition as the broker has it: its first offset, the one after its last, and the id of its topic."""

    first: int
    end: int
    topic_id: str = ""


def find_misfit(stored: Position, log: Log) -> str | None:
    """Why nobody can go on from here without an operator who has looked at it; None where all is well."""
    if stored.topic_id != log.topic_id:
        return f"the topic was made anew: its id is {log.topic_id}, the stored position belongs to {stored.topic_id}"
    if stored.next_offset > log.end:
        return f"the log ends at {log.end}, before the stored offset {stored.next_offset}: an older copy was restored"
    if stored.next_offset < log.first:
        return f"the log begins at {log.first}, behind the stored offset {stored.next_offset}: records are gone"
    return None


def sort_out(stored: Mapping[int, Position], logs: Mapping[int, Log]) -> tuple[dict[int, Position], dict[int, str]]:
    """Partitions that can be read on from what is stored, and why not for the others."""
    misfits = {number: why for number, at in stored.items() if (why := find_misfit(at, logs[number]))}
    return {number: at for number, at in stored.items() if number not in misfits}, misfits
