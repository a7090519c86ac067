"""Counts for the bits of bitmaps: one addition counts for thousands of places at once."""

from fillip.core.index.cells import list_bits


class Tally:
    """How often each bit was set. Plane p holds the bit of weight 2^p of every place's count."""

    def __init__(self) -> None:
        self._planes: list[int] = []

    def add(self, mask: int, times: int) -> None:
        """Count `times` more for each bit of the mask; a handful of operations on whole bitmaps."""
        for weight in range(times.bit_length()):
            if times >> weight & 1:
                self._carry(mask, weight)

    def _carry(self, mask: int, plane: int) -> None:
        while mask:
            self._planes += [0] * (plane + 1 - len(self._planes))
            self._planes[plane], mask = self._planes[plane] ^ mask, self._planes[plane] & mask
            plane += 1

    def read(self) -> dict[int, int]:
        """The count of each place, for the places that were counted."""
        counts: dict[int, int] = {}
        for weight, plane in enumerate(self._planes):
            for place in list_bits(plane):
                counts[place] = counts.get(place, 0) + (1 << weight)
        return counts
