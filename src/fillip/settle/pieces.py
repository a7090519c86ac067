"""A batch cut at reversals: each piece is a transaction of its own, so that each keeps the one lock order."""

from collections.abc import Callable, Collection, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from fillip.core.event import Event, Place, Rejection
from fillip.core.match import Match
from fillip.core.reversal import REVERSAL
from fillip.stream.belt import Batch

Item = Match | Rejection


class Piece(Struct, frozen=True):
    """Items that are settled together: reversals alone, or all others. `batch` has the piece's own spans.

    `isolated`: no partition has more than one event in it.
    """

    batch: Batch
    items: Sequence[Item]
    reversing: bool = False
    isolated: bool = False

    @property
    def matches(self) -> list[Match]:
        """The events among its items."""
        return [item for item in self.items if isinstance(item, Match)]

    @property
    def rejections(self) -> list[Rejection]:
        """The others."""
        return [item for item in self.items if isinstance(item, Rejection)]

    @property
    def tenants(self) -> set[str]:
        """Whose they are, as far as it is known."""
        return {m.event.tenant_id for m in self.matches} | {r.tenant_id for r in self.rejections if r.tenant_id}


def cut(batch: Batch, items: Sequence[Item]) -> list[Piece]:
    """The pieces of a batch in the order in which they are to be settled; usually one, the batch itself.

    In each partition grants and reversals alternate as they stand in the log. A piece ends, in each partition, where
    the first item of a later piece stands; so its spans join without a gap and a crash in between loses nothing.
    """
    levels = _find_levels(items, lambda event: event.action == REVERSAL, gather=True)
    return [Piece(part, some, reversing=level % 2 == 1) for level, part, some in _split(batch, items, levels)]


def isolate(piece: Piece, awaited: Collection[tuple[str, str]]) -> list[Piece]:
    """A piece cut again, so that each event of `awaited`, (tenant, id), is the only one of its partition in its piece:
    what a waiting reversal undoes must not be seen by the events behind it.
    """
    levels = _find_levels(piece.items, lambda event: (event.tenant_id, event.event_id) in awaited, gather=False)
    return [
        Piece(batch, items, isolated=level % 2 == 1) for level, batch, items in _split(piece.batch, piece.items, levels)
    ]


def _split(batch: Batch, items: Sequence[Item], levels: Sequence[int]) -> Iterator[tuple[int, Batch, Sequence[Item]]]:
    """(level, batch, items) of each level that has items, in order."""
    groups: dict[int, list[Item]] = {}
    for item, level in zip(items, levels, strict=True):
        groups.setdefault(level, []).append(item)
    if len(groups) <= 1:
        yield max(levels, default=0), batch, items
        return
    reached = {(span.topic, span.partition): span.start for span in batch.spans}
    for level in sorted(groups):
        ends = _find_ends(batch, [group for later, group in groups.items() if later > level])
        spans = [
            replace(span, start=reached[key], end=ends[key])
            for span in batch.spans
            if reached[key := (span.topic, span.partition)] < ends[key]
        ]
        reached = ends
        yield level, replace(batch, spans=spans), groups[level]


def _find_levels(items: Sequence[Item], stands_apart: Callable[[Event], bool], *, gather: bool) -> list[int]:
    """For each item its level, which never falls in a partition: odd for those that stand apart, even for others.

    `gather`: those that stand apart one behind the other share a level; otherwise each has one of its own.
    """
    reached: dict[tuple[str, int], int] = {}
    levels = []
    for item in items:
        place = _place(item)
        key = place.topic, place.partition
        level = reached.get(key, 0)
        if isinstance(item, Match):
            apart, odd = stands_apart(item.event), level % 2 == 1
            level += 1 if apart != odd else 2 if apart and not gather else 0
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
