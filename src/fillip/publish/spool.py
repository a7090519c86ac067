"""Large transactions that the server sends before they are committed: kept in temporary files until they are, or are not."""

import tempfile
from collections.abc import Iterator
from struct import Struct as Layout
from typing import IO

from fillip.core.errors import Retry

MAX_BYTES = 2 * 1024**3
"""Of all transactions together. Beyond, the server is asked to keep them itself until they are committed."""

_HEADER = Layout(">IQI")


class SpoolFull(Retry):
    """There is no room for what has not been committed yet."""


class Spool:
    """WAL messages by transaction; closing drops them all. Files are without a name, so a crash leaves nothing."""

    def __init__(self, max_bytes: int | None = None) -> None:
        self._files: dict[int, IO[bytes]] = {}
        self._sizes: dict[int, int] = {}
        self._aborted: dict[int, set[int]] = {}
        self._max_bytes = MAX_BYTES if max_bytes is None else max_bytes

    def add(self, tx_id: int, sub_id: int, lsn: int, data: bytes) -> None:
        """Keep one message of a transaction, and of which part of it (itself or a subtransaction). Raises SpoolFull."""
        if sum(self._sizes.values()) + len(data) > self._max_bytes:
            raise SpoolFull(f"transactions that are not committed yet have more than {self._max_bytes:,} bytes")
        try:
            if tx_id not in self._files:
                self._files[tx_id] = tempfile.TemporaryFile(prefix="fillip-wal-")  # noqa: SIM115 - until _drop
            self._files[tx_id].write(_HEADER.pack(sub_id, lsn, len(data)) + data)
        except OSError as error:
            raise SpoolFull(
                f"a transaction that is not committed yet can't be kept in {tempfile.gettempdir()}: {error}"
            ) from error
        self._sizes[tx_id] = self._sizes.get(tx_id, 0) + len(data)

    def abort(self, tx_id: int, sub_id: int) -> None:
        """Drop a transaction, or one of its parts."""
        if tx_id == sub_id:
            self._drop(tx_id)
        elif tx_id in self._files:
            self._aborted.setdefault(tx_id, set()).add(sub_id)

    def replay(self, tx_id: int) -> Iterator[tuple[int, bytes]]:
        """(LSN, message) of what is left of a transaction, in order; then it is dropped."""
        aborted, file = self._aborted.get(tx_id, ()), self._files.get(tx_id)
        if file is not None:
            file.seek(0)
            while header := file.read(_HEADER.size):
                sub_id, lsn, size = _HEADER.unpack(header)
                data = file.read(size)
                if sub_id not in aborted:
                    yield lsn, data
        self._drop(tx_id)

    def close(self) -> None:
        """Drop everything."""
        for tx_id in list(self._files):
            self._drop(tx_id)

    def _drop(self, tx_id: int) -> None:
        if file := self._files.pop(tx_id, None):
            file.close()
        self._sizes.pop(tx_id, None)
        self._aborted.pop(tx_id, None)
