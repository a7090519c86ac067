"""Lines of an upload that can't be taken: counted, and the first of them kept for whoever mends the file."""

import csv
from io import StringIO

MAX_KEPT = 10_000
MAX_KEPT_BYTES = 1_000_000
MAX_SHOWN = 200
"""Most characters that are shown of one line."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Rejections:
    """`count` lines in all; `first` is the number and the reason of the first."""

    def __init__(self) -> None:
        self.count = 0
        self.first: tuple[int, str] | None = None
        self._out = StringIO()
        self._csv = csv.writer(self._out, lineterminator="\n")
        self._csv.writerow(["line", "reason", "text"])

    def add(self, line: int, reason: str, content: bytes) -> None:
        """Take a line by its number."""
        self.count += 1
        self.first = self.first or (line, reason)
        if self.count <= MAX_KEPT and self._out.tell() < MAX_KEPT_BYTES:
            self._csv.writerow([line, reason, _show(content)])

    def write(self) -> str:
        """The first of them as CSV: number of the line, reason, text; empty where there are none."""
        return self._out.getvalue() if self.count else ""


def _show(content: bytes) -> str:
    """The text of a line as a cell that a spreadsheet takes for a text: none is a formula."""
    text = content[: 4 * MAX_SHOWN].decode(errors="backslashreplace").replace("\0", "\\0")[:MAX_SHOWN]
    return f"'{text}" if text.startswith(_FORMULA) else text
