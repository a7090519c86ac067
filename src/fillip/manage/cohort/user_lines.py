"""Lists of users as they stream in: CSV of one column is the reader's own form, NDJSON is this one."""

import re

import msgspec

from fillip.core.json_text import repeats_name
from fillip.manage.upload.csv_lines import CsvReader, check_id


class UserObjectReader(CsvReader):
    """NDJSON with an object `{"user_id": "…"}` a line, the first one too."""

    header = ""
    mistaken = frozenset()
    plain = re.compile(rb"(?!)")

    def parse(self, text: str) -> str:
        """The user of a line; raises ValueError."""
        if not text.strip():
            raise ValueError("empty")
        try:
            line = msgspec.json.decode(text, type=_Line)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ValueError(f'not an object such as {{"user_id": "ada"}}: {error}') from None
        if repeats_name(text.encode(), line):
            raise ValueError("`user_id` stands twice in one object: which of the two counts?")
        return check_id(line.user_id)


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    user_id: str
