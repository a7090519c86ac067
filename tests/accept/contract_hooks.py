"""What schemathesis does not know by itself: how lines of JSON are written."""

import schemathesis
from msgspec import json


@schemathesis.serializer("application/x-ndjson")
def write_lines(context: object, value: object) -> bytes:
    """A text as it is; anything else one JSON value a line."""
    if isinstance(value, str):
        return value.encode()
    return b"\n".join(json.encode(each) for each in (value if isinstance(value, list) else [value]))
