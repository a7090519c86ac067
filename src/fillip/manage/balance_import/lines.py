"""The lines of a balance import, read as they stream in: a lot each, or named with what is wrong in which column. Pure."""

import csv
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import date, datetime
from functools import lru_cache, partial
from hashlib import sha256
from typing import BinaryIO, TypeVar

from msgspec import Struct

from fillip.core.campaign.formula import MAX_VALUE
from fillip.core.campaign.reward import POINTS
from fillip.core.instant import read_instant
from fillip.core.local_day import end_day, is_day, read_day, start_day
from fillip.core.problem import Fault
from fillip.http.errors import Invalid
from fillip.http.problems import MAX_FAULTS
from fillip.manage.upload.csv_lines import LineReader, check_id, escape, refuse_form

MAX_ROWS = 2_000_000
"""Of one import; times MAX_VALUE it is below 2^63, so no sum of a file is beyond 64 bits."""
REQUIRED = ("user_id", "amount")
COLUMNS = (*REQUIRED, "currency", "available_at", "expires_at", "id")
STAGED = ("line", *COLUMNS)
"""The columns of what is written for each line, in COPY's text format."""
_PLAIN_ID = re.compile(r"(?!\.\.?$)[A-Za-z0-9_.:@-]{1,256}").fullmatch
_NONE = r"\N"
Value = TypeVar("Value")
_WHOLE = f"must be a whole number from 1 to {MAX_VALUE:,}, written with digits alone, such as 1200"


class ImportBroken(Invalid):
    """An import with lines that can't be taken; `faults` are the first of them, nothing of it is posted."""

    kind = "upload-broken"

    def __init__(self, faults: Sequence[Fault], count: int) -> None:
        first = f"{faults[0].at}: {faults[0].message}"
        more = f"; {count:,} faults in all, the first {len(faults)} are in errors" if count > 1 else ""
        super().__init__(f"{first}{more}: nothing is imported", faults=faults)


class ImportTerms(Struct, frozen=True):
    """What the lines of a tenant's import are held against, at the instant `at`."""

    currencies: Collection[str]
    time_zone: str
    clock: str
    at: datetime


class BalanceReader(LineReader):
    """Writes a row of STAGED to `out` for each good line, and keeps the first faults; `content_hash` is of all bytes.

    The first line names the columns, in any order. No fault repeats what stands in a line: that may be about a person.
    """

    def __init__(self, out: BinaryIO, terms: ImportTerms) -> None:
        super().__init__()
        self._out = out
        self._terms = terms
        self._columns: list[str] = []
        self._hash = sha256()
        self._read_available = lru_cache(maxsize=4096)(partial(_read_time, read=partial(_start, terms.time_zone)))
        self._read_expiry = lru_cache(maxsize=4096)(partial(_read_time, read=partial(_end, terms.time_zone)))
        self.faults: list[Fault] = []
        self.fault_count = 0

    @property
    def content_hash(self) -> bytes:
        """SHA-256 of what was fed."""
        return self._hash.digest()

    def feed(self, piece: bytes) -> None:
        """Take the next bytes; a line may end in a later piece."""
        self._hash.update(piece)
        super().feed(piece)

    def refuse(self, more: Iterable[Fault] = (), count: int = 0) -> None:
        """Raise ImportBroken where there are faults, its own or `more` (`count` in all), or not a single row."""
        faults = [*self.faults, *more][:MAX_FAULTS]
        if faults:
            raise ImportBroken(faults, self.fault_count + count)
        if not self.rows:
            raise ImportBroken([Fault("line 1", f"no rows: {self._describe_columns()}")], 1)

    def _take(self, lines: bytes) -> None:
        if not self._line:
            refuse_form(lines)
        rows = []
        for line in lines[:-1].split(b"\n"):
            self._line += 1
            if self._columns:
                self.rows += 1
            try:
                text = line.removesuffix(b"\r").decode("utf-8-sig" if self._line == 1 else "utf-8")
                cells = _split(text)
            except ValueError as error:
                self._add_fault(None, "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error))
                continue
            if not self._columns:
                self._columns = self._read_header(cells)
            elif row := self._read_row(cells):
                rows.append(row)
        self._out.write("".join(rows).encode())

    def _read_header(self, cells: list[str]) -> list[str]:
        """The names of the columns; raises ImportBroken where they are not such."""
        names = [cell.strip().lower() for cell in cells]
        faults = [f"`{name}` is missing" for name in REQUIRED if name not in names]
        faults += ["a column is none of these" for name in names if name not in COLUMNS][:1]
        faults += [f"`{name}` stands twice" for name in COLUMNS if names.count(name) > 1]
        if faults:
            told = self._describe_columns()
            raise ImportBroken([Fault("line 1", f"{fault}: {told}") for fault in faults], len(faults))
        return names

    def _read_row(self, cells: list[str]) -> str | None:
        if len(cells) != len(self._columns):
            self._add_fault(None, f"has {len(cells)} columns, the first line {len(self._columns)}")
            return None
        given, before = dict(zip(self._columns, cells, strict=True)), self.fault_count
        user_id = self._try("user_id", _read_id, given["user_id"])
        amount = self._try("amount", _read_amount, given["amount"])
        currency = self._try("currency", self._read_currency, given.get("currency") or POINTS)
        available_at = self._try("available_at", self._read_available, given.get("available_at", ""))
        expires_at = self._try("expires_at", self._read_expires, given.get("expires_at", ""))
        row_id = self._try("id", _read_id, given["id"]) if given.get("id") else _NONE
        if available_at and expires_at and available_at >= expires_at:
            self._add_fault("available_at", "lies behind `expires_at`: the points could never be spent")
        if self.fault_count > before:
            return None
        times = [instant.isoformat() if instant else _NONE for instant in (available_at, expires_at)]
        return f"{self._line}\t{user_id}\t{amount}\t{currency}\t{times[0]}\t{times[1]}\t{row_id}\n"

    def _try(self, column: str, read: Callable[[str], Value], cell: str) -> Value | None:
        """What a cell says; None, and a fault, where it says nothing that can be taken."""
        try:
            return read(cell)
        except ValueError as error:
            self._add_fault(column, str(error))
            return None

    def _read_currency(self, cell: str) -> str:
        if cell not in self._terms.currencies:
            raise ValueError(
                f"no currency of points: make it by PUT /v1/points/…, or leave the cell empty for {POINTS}"
            )
        return cell

    def _read_expires(self, cell: str) -> datetime | None:
        expires_at = self._read_expiry(cell)
        if expires_at and self._terms.clock == "history":
            raise ValueError("nothing expires by itself in a tenant with the clock history: leave it empty")
        if expires_at and expires_at <= self._terms.at:
            raise ValueError("lies in the past: leave the row out, its points have expired")
        return expires_at

    def _add_fault(self, column: str | None, message: str) -> None:
        self.fault_count += 1
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(Fault(f"line {self._line}" + (f", {column}" if column else ""), message))

    def _describe_columns(self) -> str:
        optional = ", ".join(name for name in COLUMNS if name not in REQUIRED)
        return (
            f"the first line names the columns, with commas between them: {', '.join(REQUIRED)}, and any of {optional}"
        )


def _split(text: str) -> list[str]:
    """The cells of a line; raises ValueError."""
    if not text:
        raise ValueError("empty: leave it out")
    if '"' not in text:
        return text.split(",")
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error:
        raise ValueError("a quote that is not closed in its line, or with text behind it") from None


def _read_id(cell: str) -> str:
    return cell if _PLAIN_ID(cell) else escape(check_id(cell))


def _read_amount(cell: str) -> int:
    if not (cell.isascii() and cell.isdigit() and len(cell) <= len(str(MAX_VALUE))):
        raise ValueError(_WHOLE)
    amount = int(cell)
    if not 1 <= amount <= MAX_VALUE:
        raise ValueError(_WHOLE)
    return amount


def _read_time(cell: str, read: Callable[[date], datetime]) -> datetime | None:
    """None where the cell is empty; of a day what `read` makes of it. Raises ValueError."""
    if not cell:
        return None
    try:
        return read(read_day(cell)) if is_day(cell) else read_instant(cell)
    except ValueError:
        message = "must be a day such as 2026-01-31, a date-time such as 2026-01-31T09:30:00Z, or empty"
        raise ValueError(message) from None


def _start(time_zone: str, day: date) -> datetime:
    return start_day(day, time_zone)


def _end(time_zone: str, day: date) -> datetime:
    return end_day(day, time_zone)
