"""An upload on its way from the socket to the disk: checked line by line, never whole in memory, no transaction yet."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import TemporaryFile
from typing import BinaryIO

from fastapi import Request

from fillip.manage.csv_lines import CsvReader
from fillip.manage.refusals import TooLarge, UnsupportedMedia

MAX_UPLOAD_BYTES = 64 * 1_048_576


def check_upload(request: Request) -> None:
    """What the headers tell already; raises UnsupportedMedia or TooLarge."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "text/csv":
        raise UnsupportedMedia("send the list as Content-Type: text/csv")
    if int(request.headers.get("content-length") or 0) > MAX_UPLOAD_BYTES:
        raise _too_large()


@asynccontextmanager
async def spool_upload(request: Request) -> AsyncIterator[tuple[BinaryIO, int]]:
    """The ids as a temporary file of COPY rows, and their number; raises UploadBroken or TooLarge."""
    with TemporaryFile() as file:
        reader, taken = CsvReader(file), 0
        async for piece in request.stream():
            taken += len(piece)
            if taken > MAX_UPLOAD_BYTES:
                raise _too_large()
            reader.feed(piece)
        reader.finish()
        file.seek(0)
        yield file, reader.rows


def _too_large() -> TooLarge:
    return TooLarge(f"the list is larger than {MAX_UPLOAD_BYTES} bytes: split the cohort")
