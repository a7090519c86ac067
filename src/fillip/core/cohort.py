"""The members of a cohort as a Roaring bitmap over the numbers of users, and the chunks in which it is stored.

A bitmap is exact and takes one bit to two bytes a member; a look takes some 20 ns. See decision record 0052.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TypeAlias
from uuid import UUID

from msgspec import Struct
from pyroaring import BitMap

CHUNK_BITS = 16
"""A chunk holds 65,536 numbers, in some 8 KiB at most."""

Members: TypeAlias = BitMap
"""Numbers of users. Never changed once a cohort names it."""
NOBODY = BitMap()


class Cohort(Struct, frozen=True):
    """A cohort in a book: its version, and who is in it. `content_id` tells it from a deleted one of the same name."""

    version: int
    members: Members
    content_id: UUID | None = None

    def holds(self, number: int | None) -> bool:
        """Whether a user of this number is in it; a user without one is in none."""
        return number is not None and number in self.members


def list_mine(number: int | None, cohorts: Mapping[str, Cohort], asked: Collection[str]) -> frozenset[str]:
    """Which of the cohorts that are `asked` for a user is in; one that is not there has no members."""
    return frozenset(name for name in asked if name in cohorts and cohorts[name].holds(number))


def list_chunks(members: Members) -> Iterator[int]:
    """The chunks that have members, in order."""
    start, last = 0, members.max() if members else -1
    while start <= last:
        chunk = members.next_set_bit(start) >> CHUNK_BITS
        yield chunk
        start = (chunk + 1) << CHUNK_BITS


def take_chunk(members: Members, chunk: int) -> Members:
    """Those of one chunk."""
    return members & BitMap(range(chunk << CHUNK_BITS, (chunk + 1) << CHUNK_BITS))


def find_changed(before: Members, after: Members) -> dict[int, bytes]:
    """What to store of `after`: the chunks that differ from those of `before`, an empty bitmap where nobody is left."""
    return {chunk: take_chunk(after, chunk).serialize() for chunk in list_chunks(before ^ after)}


def join_chunks(members: Members, chunks: Iterable[tuple[int, bytes]]) -> Members:
    """`members` with these chunks in place of theirs. Raises ValueError for bytes that are no bitmap."""
    joined = members.copy()
    for chunk, octets in chunks:
        joined.remove_range(chunk << CHUNK_BITS, (chunk + 1) << CHUNK_BITS)
        joined |= BitMap.deserialize(octets)
    return joined
