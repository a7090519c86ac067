"""An upload on its way from the socket to the disk: checked line by line, never whole in memory, no transaction yet."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from tempfile import TemporaryFile
from typing import BinaryIO

from fastapi import Request

from fillip.http.errors import TooLarge, UnsupportedMedia
from fillip.manage.upload.csv_lines import CsvReader

MAX_UPLOAD_BYTES = 64 * 1_048_576


def check_upload(request: Request, *media: str) -> str:
    """What the headers tell already: which of `media` it is; raises UnsupportedMedia or TooLarge."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in media:
        raise UnsupportedMedia(f"send the list as Content-Type: {' or '.join(media)}")
    if int(request.headers.get("content-length") or 0) > MAX_UPLOAD_BYTES:
        raise _too_large()
    return kind


@asynccontextmanager
async def spool_upload(
    request: Request, read: Callable[[BinaryIO], CsvReader] = CsvReader, *, most_lines: int
) -> AsyncIterator[tuple[BinaryIO, int]]:
    """The ids as a temporary file of COPY rows, and their number; raises UploadBroken or TooLarge."""
    with TemporaryFile() as file:
        reader, taken = read(file), 0
        async for piece in request.stream():
            taken += len(piece)
            if taken > MAX_UPLOAD_BYTES:
                raise _too_large()
            reader.feed(piece)
            if reader.rows > most_lines:
                raise TooLarge(f"the list has more than {most_lines:,} lines, more are not taken at once")
        reader.finish()
        file.seek(0)
        yield file, reader.rows


def _too_large() -> TooLarge:
    return TooLarge(f"the list is larger than {MAX_UPLOAD_BYTES} bytes, more are not taken at once")
