"""Lists of coupon codes as they stream in: CSV of one column, or NDJSON."""

import re

import msgspec

from fillip.core.json_text import repeats_name
from fillip.manage.upload.csv_lines import CsvReader, unquote

CODE = r"(?!\.\.?(?![A-Za-z0-9._-]))[A-Za-z0-9._-]{1,64}"
"""What a code may be: it stands in addresses, where `.` and `..` can't, and people type it."""
_CODE = re.compile(CODE)


class CodeReader(CsvReader):
    """CSV with one code a line, a header `code` or none."""

    header = "code"
    mistaken = frozenset({"codes", "coupon", "coupons", "couponcode", "couponcodes", "voucher", "vouchercode"})
    plain = re.compile(f"(?:{CODE}\n)+".encode())

    def parse(self, text: str) -> str:
        """The code of a line; raises ValueError."""
        return _check(unquote(text))


class CodeObjectReader(CodeReader):
    """NDJSON with an object `{"code": "…"}` a line, the first one too."""

    header = ""
    mistaken = frozenset()
    plain = re.compile(rb"(?!)")

    def parse(self, text: str) -> str:
        """The code of a line; raises ValueError."""
        if not text.strip():
            raise ValueError("empty")
        try:
            line = msgspec.json.decode(text, type=_Line)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ValueError(f'not an object such as {{"code": "SPRING-1"}}: {error}') from None
        if repeats_name(text.encode(), line):
            raise ValueError("`code` stands twice in one object: which of the two counts?")
        return _check(line.code)


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    code: str


def _check(code: str) -> str:
    if not code.strip():
        raise ValueError("empty")
    if not _CODE.fullmatch(code):
        raise ValueError("a code has 1 to 64 of A to Z, a to z, 0 to 9, dot, dash and underscore, and is not . or ..")
    return code
