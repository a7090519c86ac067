"""Lines as they stream in, however they are cut into pieces; a list of user ids as CSV of one column: every line is good, or named."""

import re
from abc import ABC, abstractmethod
from typing import BinaryIO

from fillip.core.naming import DOTS, MAX_ID_BYTES, fits
from fillip.core.problem import Fault
from fillip.http.errors import Invalid
from fillip.manage.upload.rejections import Rejections

MAX_LINE_BYTES = 4096
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
_FORMS = {
    b"\xff\xfe": "the file is UTF-16: save it as UTF-8",
    b"\xfe\xff": "the file is UTF-16: save it as UTF-8",
    b"\x1f\x8b": "the file is compressed: send it with Content-Encoding: gzip",
    b"PK\x03\x04": "the file is a spreadsheet or a zip: save it as CSV",
}
"""What a file begins with that is no list, and what to do about it."""
_SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}


class UploadBroken(Invalid):
    """A line of an upload that cannot be taken; nothing of the upload is applied."""

    kind = "upload-broken"

    def __init__(self, line: int, reason: str, more: str = "") -> None:
        super().__init__(f"line {line}: {reason}{more}", faults=[Fault(f"line {line}", reason)])


class LineReader(ABC):
    """Feed it pieces of bytes; it takes whole lines. `rows` counts those that are taken. Raises UploadBroken."""

    def __init__(self) -> None:
        self.rows = 0
        self._line = 0
        self._rest = b""

    @property
    def lines_read(self) -> int:
        """How many lines it has taken, good or not."""
        return self._line

    def feed(self, piece: bytes) -> None:
        """Take the next bytes; a line may end in a later piece."""
        taken, end, rest = (self._rest + piece).rpartition(b"\n")
        self._rest = rest
        if end:
            self._take(taken + end)
        if len(rest) > MAX_LINE_BYTES:
            raise UploadBroken(self._line + 1, f"longer than {MAX_LINE_BYTES} bytes")

    def finish(self) -> None:
        """The upload has ended: take what came after the last line feed."""
        if self._rest:
            self._take(self._rest + b"\n")
            self._rest = b""

    @abstractmethod
    def _take(self, lines: bytes) -> None:
        """Take lines, each with its line feed, and count them in `_line`."""


class CsvReader(LineReader):
    """It writes the ids to `out` as rows of COPY's text format.

    A first line `user_id` is a header. Lines end with LF or CRLF. An id with a comma, a semicolon, a tab or a quote stands
    in quotes. Where there are `rejections`, a line that is wrong by itself goes there, and the next one is read.
    """

    header = "user_id"
    mistaken = frozenset({"user", "users", "userid", "uid", "id", "customer", "customerid", "member", "memberid"})
    """What a first line says, without spaces, dashes and underscores, that is likely meant as a header."""
    plain = re.compile(rb"(?:(?!\.\.?\n)[A-Za-z0-9_.:@-]{1,256}\n)+")
    """Lines that need no second look."""

    def __init__(self, out: BinaryIO, rejections: Rejections | None = None) -> None:
        super().__init__()
        self._out = out
        self._rejections = rejections

    def _take(self, lines: bytes) -> None:
        if self._line and self.plain.fullmatch(lines):
            count = lines.count(b"\n")
            self._line += count
            self.rows += count
            self._out.write(lines)
            return
        if not self._line:
            refuse_form(lines)
        for line in lines[:-1].split(b"\n"):
            self._line += 1
            user_id = self._read(line)
            if user_id is not None:
                self.rows += 1
                self._out.write(escape(user_id).encode() + b"\n")

    def _read(self, line: bytes) -> str | None:
        """The id of a line; None for the header."""
        try:
            text = line.removesuffix(b"\r").decode("utf-8-sig" if self._line == 1 else "utf-8")
            user_id = self.parse(text)
        except UnicodeDecodeError:
            self._reject(line, "not UTF-8")
            return None
        except ValueError as error:
            self._reject(line, str(error))
            return None
        if self._line == 1 and user_id.lower() == self.header:
            return None
        if self._line == 1 and re.sub("[ _-]", "", user_id.lower()) in self.mistaken:
            raise UploadBroken(
                1, f"looks like a header, which is {self.header}: put that first, also before such an id"
            )
        return user_id

    def _reject(self, line: bytes, reason: str) -> None:
        if self._rejections is None:
            raise UploadBroken(self._line, reason)
        self._rejections.add(self._line, reason, line)

    def parse(self, text: str) -> str:
        """The id that a line stands for; raises ValueError saying what is wrong."""
        return self.check(unquote(text))

    def check(self, user_id: str) -> str:
        """The id as it is; raises ValueError for what can't be one."""
        return check_id(user_id)


def escape(text: str) -> str:
    """A text as a cell of COPY's text format."""
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\r", "\\r").replace("\n", "\\n")


def check_id(user_id: str) -> str:
    """The id as it is; raises ValueError for what can't be one."""
    if not user_id.strip():
        raise ValueError("empty")
    if "\0" in user_id:
        raise ValueError("a NUL character")
    if user_id in DOTS:
        raise ValueError("must not be . or .., which can't stand in a path")
    if not fits(user_id):
        raise ValueError(f"longer than {MAX_ID_BYTES} bytes")
    return user_id


def refuse_form(start: bytes) -> None:
    """Raise UploadBroken for a file that is no text in UTF-8 from its first byte on."""
    for mark, what in _FORMS.items():
        if start.startswith(mark):
            raise UploadBroken(1, what)


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
