"""From a row's values, as PostgreSQL writes them in text, to JSON."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import TypeAlias

from msgspec import json

from fillip.publish.pgoutput import UNCHANGED, Relation, Row, Value

_Write: TypeAlias = Callable[[bytes], bytes]


class RowWriter:
    """Writes rows of one relation. `positions` tells where each column stands."""

    def __init__(self, relation: Relation) -> None:
        self.relation = relation
        self.positions = {column.name: index for index, column in enumerate(relation.columns)}
        self.user_at = self.positions.get("user_id")
        self._labels = [json.encode(column.name) + b":" for column in relation.columns]
        self._writers = [WRITERS.get(column.type_oid, _write_text) for column in relation.columns]
        self._form = b"{%b}" % b",".join(label.replace(b"%", b"%%") + b"%b" for label in self._labels)

    def write_row(self, row: Row) -> bytes:
        """What `write` makes of the row's values."""
        if not row.complete:
            return self.write(row.values)
        return self._form % tuple(
            [
                b"null" if value is None else value if write is None else write(value)  # type: ignore[arg-type]
                for write, value in zip(self._writers, row.values, strict=True)
            ]
        )

    def write(self, values: Sequence[Value]) -> bytes:
        """A JSON object of the columns. Instants are RFC 3339 in UTC with microseconds, bytea is base64, jsonb and
        arrays are inlined, types not known here are strings. A value that the WAL did not carry is left out.

        Raises ValueError for a day or an instant outside the years 1 to 9999: its form has no words for it.
        """
        return b"{%b}" % b",".join(
            [
                label + (b"null" if value is None else value if write is None else write(value))
                for label, write, value in zip(self._labels, self._writers, values, strict=True)
                if value is not UNCHANGED
            ]
        )


def _write_text(value: bytes) -> bytes:
    return json.encode(value.decode())


def _write_bytes(value: bytes) -> bytes:
    return b'"%b"' % b64encode(bytes.fromhex(value[2:].decode()))


def _write_instant(value: bytes) -> bytes:
    if value[10:11] != b" " or value[-3:] != b"+00":  # infinity, before Christ, after 9999
        raise ValueError(f"{value.decode()} is no instant of the years 1 to 9999")
    return b'"%bT%b.%bZ"' % (value[:10], value[11:19], value[20:-3].ljust(6, b"0"))


def _write_day(value: bytes) -> bytes:
    if len(value) != 10:
        raise ValueError(f"{value.decode()} is no day of the years 1 to 9999")
    return b'"%b"' % value


def _write_instants(value: bytes) -> bytes:
    each = value[1:-1].split(b",") if len(value) > 2 else ()
    return b"[%b]" % b",".join(b"null" if one == b"NULL" else _write_instant(one.strip(b'"')) for one in each)


WRITERS: dict[int, _Write | None] = {
    16: lambda value: b"true" if value == b"t" else b"false",
    17: _write_bytes,
    **dict.fromkeys((20, 21, 23, 114, 3802)),  # int8, int2, int4, json, jsonb
    **dict.fromkeys((1005, 1007, 1016), lambda value: b"[%b]" % value[1:-1].replace(b"NULL", b"null")),
    1082: _write_day,
    1184: _write_instant,
    1185: _write_instants,
    2950: lambda value: b'"%b"' % value,  # uuid
}
"""By OID in pg_type, which PostgreSQL never changes; None: as it is. The connection must have DateStyle ISO, TimeZone UTC."""
