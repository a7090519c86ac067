"""A batch cut at reversals: each piece is a transaction of its own, so that each keeps the one lock order."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.event import Place, Rejection
from fillip.core.match import Match
from fillip.core.reversal import REVERSAL
from fillip.stream.belt import Batch

Item = Match | Rejection


class Piece(Struct, frozen=True):
    """Items that are settled together: reversals alone, or all others. `batch` has the piece's own spans."""

    batch: Batch
    items: Sequence[Item]
    reversing: bool


def cut(batch: Batch, items: Sequence[Item]) -> list[Piece]:
    """The pieces of a batch in the order in which they are to be settled; usually one, the batch itself.

    In each partition grants and reversals alternate as they stand in the log. A piece ends, in each partition, where
    the first item of a later piece stands; so its spans join without a gap and a crash in between loses nothing.
    """
    levels = _find_levels(items)
    count = max(levels, default=0) + 1
    if count == 1:
        return [Piece(batch, items, reversing=False)]
    groups: list[list[Item]] = [[] for _ in range(count)]
    for item, level in zip(items, levels, strict=True):
        groups[level].append(item)
    pieces, reached = [], {(span.topic, span.partition): span.start for span in batch.spans}
    for level, group in enumerate(groups):
        if not group:
            continue  # no partition begins with a grant: the next piece takes what lies before its first item too
        ends = _find_ends(batch, groups[level + 1 :])
        spans = [
            replace(span, start=reached[key], end=ends[key])
            for span in batch.spans
            if reached[key := (span.topic, span.partition)] < ends[key]
        ]
        reached = ends
        pieces.append(Piece(replace(batch, spans=spans), group, reversing=level % 2 == 1))
    return pieces


def _find_levels(items: Sequence[Item]) -> list[int]:
    """For each item how often its partition has changed between grants (even) and reversals (odd)."""
    reached: dict[tuple[str, int], int] = {}
    levels = []
    for item in items:
        place = _place(item)
        key = place.topic, place.partition
        level = reached.get(key, 0)
        if isinstance(item, Match) and (item.event.action == REVERSAL) != bool(level % 2):
            level += 1
            reached[key] = level
        levels.append(level)
    return levels


def _find_ends(batch: Batch, later: Sequence[Sequence[Item]]) -> dict[tuple[str, int], int]:
    ends = {(span.topic, span.partition): span.end for span in batch.spans}
    for place in (_place(item) for group in later for item in group):
        ends[place.topic, place.partition] = min(ends[place.topic, place.partition], place.offset)
    return ends


def _place(item: Item) -> Place:
    return item.event.place if isinstance(item, Match) else item.place
