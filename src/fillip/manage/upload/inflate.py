"""An upload that comes compressed: inflated in pieces, so that little of it can't become much at once."""

import zlib
from collections.abc import Iterator

from fillip.http.errors import Malformed

PIECE_BYTES = 256 * 1024
_GZIP = 31


class Inflater:
    """Feed it pieces of gzip, of one member or several. Raises Malformed for what is none."""

    def __init__(self) -> None:
        self._inflating = zlib.decompressobj(_GZIP)

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """What the next bytes stand for, at most PIECE_BYTES at a time."""
        while piece:
            if self._inflating.eof:
                self._inflating = zlib.decompressobj(_GZIP)
            try:
                yield self._inflating.decompress(piece, PIECE_BYTES)
            except zlib.error as error:
                raise Malformed(f"the body is not gzip, as its Content-Encoding says: {error}") from None
            piece = self._inflating.unconsumed_tail or self._inflating.unused_data

    def finish(self) -> None:
        """The upload has ended."""
        if not self._inflating.eof:
            raise Malformed("the body ends in the middle of its gzip: send it again")
