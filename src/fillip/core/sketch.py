"""A Count-Min Sketch: how often each of many names came, in few counters, never too low.

Cormode and Muthukrishnan, 2005. Each name has one cell in each of `depth` rows of `width` cells and adds to all of them; the
smallest of them is the estimate. With N added in all it is above the truth by more than e / width * N for at most one name
in e^depth.
"""

from collections.abc import Iterable, Mapping, MutableMapping
from functools import lru_cache
from hashlib import blake2b
from math import e
from struct import unpack

from msgspec import Struct

MAX_WIDTH, MAX_DEPTH = 65_536, 8
KNOWN_NAMES = 65_536
"""Whose cells are kept: a hash takes about a microsecond."""


class SketchShape(Struct, frozen=True):
    """Cells a row, and rows: up to MAX_WIDTH and MAX_DEPTH."""

    width: int = 272
    depth: int = 5

    @property
    def cells(self) -> int:
        """How many cells it has."""
        return self.width * self.depth

    @property
    def error_share(self) -> float:
        """The share of all that was added by which an estimate may be too high."""
        return e / self.width

    @property
    def error_chance(self) -> float:
        """The share of names whose estimate may be higher than that."""
        return e**-self.depth


@lru_cache(KNOWN_NAMES)
def find_cells(name: str, shape: SketchShape) -> tuple[int, ...]:
    """The cell of a name in each row, numbered through all rows: the same in every process, for ever."""
    digest = blake2b(name.encode(errors="surrogatepass"), digest_size=4 * shape.depth).digest()
    rows = enumerate(unpack(f"<{shape.depth}I", digest))
    return tuple(row * shape.width + hashed % shape.width for row, hashed in rows)


def add_up(counts: Iterable[tuple[str, int]], shape: SketchShape, adding: MutableMapping[int, int]) -> None:
    """Add what names have come to what their cells get: as many cells as there are, however many names."""
    for name, count in counts:
        for cell in find_cells(name, shape):
            adding[cell] = adding.get(cell, 0) + count


def estimate(name: str, shape: SketchShape, held: Mapping[int, int]) -> int:
    """How often a name has come, by what its cells hold: never too low."""
    return min([held[cell] for cell in find_cells(name, shape)])


@lru_cache(KNOWN_NAMES)
def is_sampled(name: str, one_in: int) -> bool:
    """Whether a name is one of those counted exactly besides; tells nothing of its cells."""
    return blake2b(name.encode(errors="surrogatepass"), digest_size=4, person=b"sample").digest()[0] % one_in == 0
