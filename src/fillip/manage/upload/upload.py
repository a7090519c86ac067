"""An upload on its way from the socket to the disk: checked line by line, never whole in memory, no transaction yet."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from tempfile import TemporaryFile
from typing import BinaryIO, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from fillip.core.errors import Retry
from fillip.http.errors import HttpRefused, TooLarge, UnsupportedMedia
from fillip.manage.upload.csv_lines import LineReader, UploadBroken
from fillip.manage.upload.inflate import Inflater

MAX_UPLOAD_BYTES = 64 * 1_048_576
Reader = TypeVar("Reader", bound=LineReader)


def check_upload(request: Request, *media: str, most_bytes: int = MAX_UPLOAD_BYTES) -> str:
    """What the headers tell already: which of `media` it is; raises UnsupportedMedia or TooLarge."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in media:
        raise UnsupportedMedia(f"send the list as Content-Type: {' or '.join(media)}")
    if _read_encoding(request) not in ("", "identity", "gzip"):
        raise UnsupportedMedia("send the list as it is, or with Content-Encoding: gzip")
    if int(request.headers.get("content-length") or 0) > most_bytes:
        raise _too_large(most_bytes)
    return kind


@asynccontextmanager
async def spool_upload(
    request: Request,
    coming: asyncio.Semaphore,
    read: Callable[[BinaryIO], Reader],
    *,
    most_lines: int,
    most_bytes: int = MAX_UPLOAD_BYTES,
    tell_broken: Callable[[str], Awaitable[None]] | None = None,
) -> AsyncIterator[tuple[BinaryIO, Reader]]:
    """The lines as a temporary file of COPY rows, and what has read them; raises UploadBroken, Malformed or TooLarge.

    `coming` is held while it comes in; Retry is raised where as many as may come at once are on their way. `tell_broken` is told
    why one that began to come can't be taken as a whole, and where.
    """
    if coming.locked():
        raise Retry("other lists are coming in, as many as may at once: send this one again in a minute")
    with TemporaryFile() as file:
        reader, taken = read(file), 0
        try:
            async with coming:
                async for piece in _read_pieces(request):
                    taken += len(piece)
                    if taken > most_bytes:
                        raise _too_large(most_bytes)
                    reader.feed(piece)
                    _bound_lines(reader, most_lines)
            reader.finish()
            _bound_lines(reader, most_lines)
        except (HttpRefused, ClientDisconnect) as error:
            if tell_broken:
                await tell_broken(_describe(error, reader.lines_read))
            raise
        file.seek(0)
        yield file, reader


async def _read_pieces(request: Request) -> AsyncIterator[bytes]:
    if _read_encoding(request) != "gzip":
        async for piece in request.stream():
            yield piece
        return
    inflater = Inflater()
    async for piece in request.stream():
        for inflated in inflater.feed(piece):
            yield inflated
            await asyncio.sleep(0)  # a little gzip can be very much of a list
    inflater.finish()


def _read_encoding(request: Request) -> str:
    return request.headers.get("content-encoding", "").strip().lower()


def _bound_lines(reader: LineReader, most_lines: int) -> None:
    if reader.rows > most_lines:
        raise TooLarge(f"the list has more than {most_lines:,} lines, more are not taken at once")


def _too_large(most_bytes: int) -> TooLarge:
    return TooLarge(f"the list is larger than {most_bytes:,} bytes, more are not taken at once")


def _describe(error: Exception, line: int) -> str:
    """Why a list can't be taken as a whole, and where."""
    if isinstance(error, UploadBroken):
        return str(error)
    why = "the connection ended before the list did" if isinstance(error, ClientDisconnect) else str(error)
    return f"behind line {line:,}: {why}"
