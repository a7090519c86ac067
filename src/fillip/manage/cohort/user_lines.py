"""A list of users as NDJSON, or as a query gives it, read as it streams in."""

import msgspec

from fillip.manage.upload.csv_lines import CsvReader, unquote
from fillip.manage.upload.object_lines import ObjectReader


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    user_id: str


class UserObjectReader(ObjectReader):
    """NDJSON with an object `{"user_id": "…"}` a line."""

    line = _Line
    example = "ada"


class SelectedReader(CsvReader):
    """What a query has selected: CSV as DuckDB writes it, with a header, where an id with ; or a tab needs no quotes."""

    mistaken = frozenset()

    def parse(self, text: str) -> str:
        """The user of a line; raises ValueError."""
        return self.check(unquote(text) if text.startswith('"') else text)
