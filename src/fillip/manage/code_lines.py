"""Lists of coupon codes as they stream in: CSV of one column, or NDJSON."""

import re

import msgspec

from fillip.manage.csv_lines import CsvReader, unquote

CODE = "[A-Za-z0-9._-]{1,64}"
"""What a code may be: it stands in addresses, and people type it."""
_CODE = re.compile(CODE)


class CodeReader(CsvReader):
    """CSV with one code a line, a header `code` or none."""

    header = "code"
    plain = re.compile(f"(?:{CODE}\n)+".encode())

    def parse(self, text: str) -> str:
        """The code of a line; raises ValueError."""
        return _check(unquote(text))


class CodeObjectReader(CodeReader):
    """NDJSON with an object `{"code": "…"}` a line."""

    plain = re.compile(rb"(?!)")

    def parse(self, text: str) -> str:
        """The code of a line; raises ValueError."""
        try:
            return _check(msgspec.json.decode(text, type=_Line).code)
        except msgspec.MsgspecError as error:
            raise ValueError(f'not an object such as {{"code": "SPRING-1"}}: {error}') from None


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    code: str


def _check(code: str) -> str:
    if not _CODE.fullmatch(code):
        raise ValueError("a code has 1 to 64 letters, digits, dots, dashes or underscores")
    return code
