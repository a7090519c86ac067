"""Lists of users as NDJSON; as CSV of one column they are the reader's own form."""

import msgspec

from fillip.manage.upload.object_lines import ObjectReader


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    user_id: str


class UserObjectReader(ObjectReader):
    """NDJSON with an object `{"user_id": "…"}` a line."""

    line = _Line
    example = "ada"
