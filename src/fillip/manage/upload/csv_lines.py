"""A list of user ids as CSV of one column, read as it streams in: every line is good, or named by its number."""

import re
from typing import BinaryIO

from fillip.core.naming import DOTS, MAX_ID_BYTES, fits
from fillip.core.problem import Fault
from fillip.http.errors import Invalid

_MAX_LINE_BYTES = MAX_ID_BYTES * 2 + 4
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
_SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}


class UploadBroken(Invalid):
    """A line of an upload that cannot be taken; nothing of the upload is applied."""

    kind = "upload-broken"

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}", faults=[Fault(f"line {line}", reason)])


class CsvReader:
    """Feed it pieces of bytes; it writes the ids to `out` as rows of COPY's text format. Raises UploadBroken.

    A first line `user_id` is a header. Lines end with LF or CRLF. An id with a comma, a semicolon, a tab or a quote stands
    in quotes.
    """

    header = "user_id"
    mistaken = frozenset({"user", "users", "userid", "uid", "id", "customer", "customerid", "member", "memberid"})
    """What a first line says, without spaces, dashes and underscores, that is likely meant as a header."""
    plain = re.compile(rb"(?:(?!\.\.?\n)[A-Za-z0-9_.:@-]{1,256}\n)+")
    """Lines that need no second look."""

    def __init__(self, out: BinaryIO) -> None:
        self.rows = 0
        self._out = out
        self._line = 0
        self._rest = b""

    def feed(self, piece: bytes) -> None:
        """Take the next bytes; a line may end in a later piece."""
        taken, end, rest = (self._rest + piece).rpartition(b"\n")
        self._rest = rest
        if end:
            self._take(taken + end)
        if len(rest) > _MAX_LINE_BYTES:
            raise UploadBroken(self._line + 1, f"longer than {MAX_ID_BYTES} bytes")

    def finish(self) -> None:
        """The upload has ended: take what came after the last line feed."""
        if self._rest:
            self._take(self._rest + b"\n")
            self._rest = b""

    def _take(self, lines: bytes) -> None:
        if self._line and self.plain.fullmatch(lines):
            count = lines.count(b"\n")
            self._line += count
            self.rows += count
            self._out.write(lines)
            return
        for line in lines[:-1].split(b"\n"):
            self._line += 1
            user_id = self._read(line)
            if user_id is not None:
                self.rows += 1
                escaped = user_id.replace("\\", "\\\\").replace("\t", "\\t").replace("\r", "\\r")
                self._out.write(escaped.encode() + b"\n")

    def _read(self, line: bytes) -> str | None:
        """The id of a line; None for the header."""
        try:
            text = line.removesuffix(b"\r").decode("utf-8-sig" if self._line == 1 else "utf-8")
            user_id = self.parse(text)
        except UnicodeDecodeError:
            raise UploadBroken(self._line, "not UTF-8") from None
        except ValueError as error:
            raise UploadBroken(self._line, str(error)) from None
        if self._line == 1 and user_id.lower() == self.header:
            return None
        if self._line == 1 and re.sub("[ _-]", "", user_id.lower()) in self.mistaken:
            raise UploadBroken(
                1, f"looks like a header, which is {self.header}: put that first, also before such an id"
            )
        return user_id

    def parse(self, text: str) -> str:
        """The id that a line stands for; raises ValueError saying what is wrong."""
        user_id = unquote(text)
        if not user_id.strip():
            raise ValueError("empty")
        if "\0" in user_id:
            raise ValueError("a NUL character")
        if user_id in DOTS:
            raise ValueError("must not be . or .., which can't stand in a path")
        if not fits(user_id):
            raise ValueError(f"longer than {MAX_ID_BYTES} bytes")
        return user_id


def unquote(text: str) -> str:
    """The one column of a line; raises ValueError."""
    if not text.startswith('"'):
        if '"' in text:
            raise ValueError("an unbalanced quote")
        if found := next((name for separator, name in _SEPARATORS.items() if separator in text), None):
            raise ValueError(f"more than one column; an id with {found} needs quotes")
        return text
    quoted = _QUOTED.match(text)
    if quoted is None:
        raise ValueError("an unbalanced quote")
    if quoted.end() != len(text):
        raise ValueError(
            "more than one column" if text[quoted.end()] in _SEPARATORS else "text after the closing quote"
        )
    return quoted[1].replace('""', '"')
