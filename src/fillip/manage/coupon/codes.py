"""Lists of coupon codes as they stream in: CSV of one column, or NDJSON."""

import re

import msgspec

from fillip.manage.upload.csv_lines import CsvReader
from fillip.manage.upload.object_lines import ObjectReader

CODE = r"(?!\.\.?(?![A-Za-z0-9._-]))[A-Za-z0-9._-]{1,64}"
"""What a code may be: it stands in addresses, where `.` and `..` can't, and people type it."""
_CODE = re.compile(CODE)


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    code: str


class CodeReader(CsvReader):
    """CSV with one code a line, a header `code` or none."""

    header = "code"
    mistaken = frozenset({"codes", "coupon", "coupons", "couponcode", "couponcodes", "voucher", "vouchercode"})
    plain = re.compile(f"(?:{CODE}\n)+".encode())

    def check(self, code: str) -> str:
        """The code as it is; raises ValueError for what can't be one."""
        return _check(code)


class CodeObjectReader(ObjectReader):
    """NDJSON with an object `{"code": "…"}` a line."""

    line = _Line
    example = "SPRING-1"

    def check(self, code: str) -> str:
        """The code as it is; raises ValueError for what can't be one."""
        return _check(code)


def _check(code: str) -> str:
    if not code.strip():
        raise ValueError("empty")
    if not _CODE.fullmatch(code):
        raise ValueError("a code has 1 to 64 of A to Z, a to z, 0 to 9, dot, dash and underscore, and is not . or ..")
    return code
