"""The schema of a table's announcements as Kafka Connect writes it, for those who read them with Debezium's tools. Pure."""

from typing import Any

from msgspec import json

from fillip.publish.pgoutput import Relation

_INSTANT = {"type": "string", "name": "io.debezium.time.ZonedTimestamp", "version": 1}
TYPES: dict[int, dict[str, Any]] = {
    16: {"type": "boolean"},
    17: {"type": "bytes"},
    20: {"type": "int64"},
    21: {"type": "int16"},
    23: {"type": "int32"},
    114: {"type": "string", "name": "io.debezium.data.Json", "version": 1},
    3802: {"type": "string", "name": "io.debezium.data.Json", "version": 1},
    1005: {"type": "array", "items": {"type": "int16", "optional": True}},
    1007: {"type": "array", "items": {"type": "int32", "optional": True}},
    1016: {"type": "array", "items": {"type": "int64", "optional": True}},
    1184: _INSTANT,
    1185: {"type": "array", "items": _INSTANT | {"optional": True}},
    2950: {"type": "string", "name": "io.debezium.data.Uuid", "version": 1},
}
"""By OID in pg_type; any other is a string. JSON stands in announcements as it is: who joins them with this schema makes it
text first."""

_TEXTS = ("version", "connector", "name", "db", "epoch", "schema", "table", "snapshot")
_NUMBERS = ("lsn", "commit_lsn", "index", "txId", "tx_id", "ts_ms", "committed_at_us", "published_at_us")


def write_schema(relation: Relation, source: bytes) -> bytes:
    """The message that tells of it: `schema` is that of the announcements from the place of `source` on.

    All columns are optional, since a deleted row has its key alone and an update may leave out what stayed as it was.
    """
    name = f"fillip.{relation.schema}.{relation.name}"
    columns = [
        {"field": c.name, "optional": True} | TYPES.get(c.type_oid, {"type": "string"}) for c in relation.columns
    ]
    row = {"type": "struct", "name": f"{name}.Value", "optional": True, "fields": columns}
    origin = [{"field": each, "type": "string", "optional": True} for each in _TEXTS]
    origin += [{"field": each, "type": "int64", "optional": True} for each in _NUMBERS]
    schema = {
        "type": "struct",
        "name": f"{name}.Envelope",
        "version": 1,
        "optional": False,
        "fields": [
            {"field": "before"} | row,
            {"field": "after"} | row,
            {"field": "omitted", "type": "array", "optional": True, "items": {"type": "string", "optional": False}},
            {"field": "source", "type": "struct", "name": "fillip.Source", "optional": False, "fields": origin},
            {"field": "op", "type": "string", "optional": False},
            {"field": "ts_ms", "type": "int64", "optional": True},
        ],
    }
    return b'{"schema":%b,%b}' % (json.encode(schema), source)
