"""A list as NDJSON, read as it streams in: an object with one field a line."""

import re
from typing import ClassVar

import msgspec

from fillip.core.json_text import repeats_name
from fillip.manage.upload.csv_lines import CsvReader


class ObjectReader(CsvReader):
    """NDJSON with an object a line, the first one too: `line` has its one field, `example` a value of it."""

    header = ""
    mistaken = frozenset()
    plain = re.compile(rb"(?!)")
    line: ClassVar[type[msgspec.Struct]]
    example: ClassVar[str]

    def parse(self, text: str) -> str:
        """The id of a line; raises ValueError."""
        if not text.strip():
            raise ValueError("empty")
        (field,) = self.line.__struct_fields__
        try:
            line = msgspec.json.decode(text, type=self.line)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ValueError(f'not an object such as {{"{field}": "{self.example}"}}: {error}') from None
        if repeats_name(text.encode(), line):
            raise ValueError(f"`{field}` stands twice in one object: which of the two counts?")
        return self.check(getattr(line, field))
