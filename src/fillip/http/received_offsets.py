"""What Fillip's own processes ask analyse for: up to where events are loaded."""

from collections.abc import Mapping

from msgspec import Struct

PATH = "/internal/received"


class ReceivedOffsets(Struct, frozen=True):
    """Of each partition of the log, the offset that is loaded next."""

    next_offsets: Mapping[int, int]

    def reach(self, ends: Mapping[int, int]) -> bool:
        """Whether all below these offsets is loaded."""
        return all(self.next_offsets.get(partition, 0) >= end for partition, end in ends.items())
