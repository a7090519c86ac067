"""debezium: our announcements through Debezium's own ExtractNewRecordState, by the schema on `wal.schema`: out come the rows.

Its jars come from Maven Central, once, and run on the Java of the embedded Kafka.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jpype
from msgspec import json

from fillip.app.up import Stack
from fillip.embedded.jars import find_java, locate_cache
from fillip.figures import Figure, at_least, expect
from fillip.publish.postgres import ANNOUNCED
from fillip.stream.belt import Record
from fillip.stream.kafka import Tail, read_last
from tests.accept.extreme_rows import open_site
from tests.publish import rows
from tests.publish.conftest import Site
from tests.publish.test_changes import ACK, CLAIM, ENTRY, LADDER, PART, TRANSFER

VERSION = "3.3.1.Final"
CHECKSUMS = Path(__file__).with_name("debezium-jars.sha256")
COORDINATES = f"io.debezium:debezium-core:{VERSION}" + "".join(
    f"+org.apache.kafka:connect-{part}:4.1.1" for part in ("api", "json", "transforms")
)
JSON = "io.debezium.data.Json"
LARGE = """
UPDATE decision SET user_attributes = (SELECT jsonb_object_agg(n, md5(n::text)) FROM generate_series(1, 500) n)
"""


async def accept(stack: Stack, tell: Callable[[str], None]) -> list[Figure]:
    """Rows of every announced table: made, changed, removed, and found by a snapshot."""
    start_java(fetch_jars(tell))
    async with open_site(stack, "debezium") as site:
        tell("writing rows")
        records = await announce(site)
    schemas = {
        (record.key or b"").decode(): json.decode(record.value or b"") for record in records if is_schema(record)
    }
    flatten, seen, wrong = Flattener(), dict[str, set[str]](), 0
    for record in records:
        message = json.decode(record.value or b"")
        if is_schema(record) or message["op"] == "m":
            continue
        table = message["source"]["table"]
        schema = schemas[table]["schema"]
        wanted, got = build_wanted(schema, message), flatten(schema, message)
        if wanted != got:
            wrong += 1
            tell(f"{table} {message['op']}: {got} is not {wanted}".replace("[", "\\["))
        seen.setdefault(message["op"], set()).add(table)
    created = seen.get("c", set())
    return [
        expect("messages of which Debezium makes another row", 0, wrong),
        expect(
            "announced tables of which no row was created, but the inbox", 0, len({*ANNOUNCED} - created - {"inbox"})
        ),
        at_least("that were updated", 5, len(seen.get("u", ()))),
        at_least("that were deleted", 3, len(seen.get("d", ()))),
        at_least("that were truncated", 1, len(seen.get("t", ()))),
        at_least("that a snapshot has found", 8, len(seen.get("r", ()))),
    ]


def is_schema(record: Record) -> bool:
    """Whether it describes a table."""
    return record.topic.endswith("wal.schema")


async def announce(site: Site) -> list[Record]:
    """Everything that is announced of rows of all kinds."""
    names = [name for name in site.topics.count_partitions(1) if name != site.topics.received]

    site.run(LADDER)
    async with site.publishing():
        site.grant(1)
        site.run(rows.CHANGE, change="reversed")
        site.grant(2, 3, 18, 35)  # the last two lift the first one's user to the second level
        site.run(rows.QUEST, rows.QUEST_MOVES, rows.USER, user="ann")
        site.run(rows.REJECTION, offset=5, original=bytes(range(256)))
        site.run(rows.BOOK_CHANGE, version=1, object="c1", document='{"n": [1, "é", null, 1e400]}')
        site.run(TRANSFER, seq=1)
        site.run(PART, part=1)
        for statement in (ENTRY.replace(" 1,", " inbox_seq + 7,"), ACK, CLAIM, LARGE, rows.COUNTER, rows.COUNTER):
            site.run(statement, user="bob")
        site.run("UPDATE decision SET reason = 'x'")  # its large column is not in the WAL
        site.run("DELETE FROM incentive WHERE inbox_seq = 3", "DELETE FROM decision WHERE log_offset = 3")
        site.run("DELETE FROM quest_instance", "TRUNCATE wallet_transfer", TRANSFER, seq=2)
        site.run("UPDATE end_user SET user_id = 'eve'", "DELETE FROM end_user")
        await site.read(site.topics.users, 3)
    site.run("SELECT pg_drop_replication_slot('fillip_' || current_database())", rows.QUEST)
    async with site.publishing():
        await site.read(site.topics.progressed, 4)
        await site.read(site.topics.levels, 2)  # the last table of a snapshot
    last = await read_last(site.addresses.kafka_bootstrap, names)
    ends = {place: record.offset + 1 for place, record in last.items() if record}
    records = list[Record]()
    async with Tail(site.addresses.kafka_bootstrap, names, from_end=False) as tail:
        while any(tail.places[place] < end for place, end in ends.items()):
            records += await anext(tail)
    return records


def build_wanted(schema: Mapping[str, Any], message: Mapping[str, Any]) -> dict[str, Any] | None:
    """The row that Debezium should make of a message: all columns, those that are not there as null; None for none."""
    row = message["after"] or message["before"]
    if message["op"] == "t":
        return None
    columns = {column["field"]: row.get(column["field"]) for column in list_columns(schema)}
    return columns | {"__deleted": "true" if message["op"] == "d" else "false", "__op": message["op"]}


def list_columns(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The columns of the row."""
    (after,) = [each for each in schema["fields"] if each["field"] == "after"]
    found: list[dict[str, Any]] = after["fields"]
    return found


class Flattener:
    """Debezium's transformation between two converters of Kafka Connect."""

    def __init__(self) -> None:
        connect = "org.apache.kafka.connect"
        self._record = jpype.JClass(f"{connect}.sink.SinkRecord")
        self._reading = jpype.JClass(f"{connect}.json.JsonConverter")()
        self._reading.configure(self._map({"schemas.enable": "true"}), False)
        self._writing = jpype.JClass(f"{connect}.json.JsonConverter")()
        self._writing.configure(self._map({"schemas.enable": "false"}), False)
        self._transform = jpype.JClass("io.debezium.transforms.ExtractNewRecordState")()
        self._transform.configure(self._map({"delete.tombstone.handling.mode": "rewrite", "add.fields": "op"}))

    def __call__(self, schema: Mapping[str, Any], message: Mapping[str, Any]) -> dict[str, Any] | None:
        """The row that comes out, with JSON parsed again; None for none."""
        documents = [column["field"] for column in list_columns(schema) if column.get("name") == JSON]
        payload = dict(message)
        for state in ("before", "after"):
            if row := payload[state]:  # as docs/reference/topics.md says: JSON is text for Connect
                texts = {name: json.encode(row[name]).decode() for name in documents if row.get(name) is not None}
                payload[state] = row | texts
        joined = json.encode({"schema": schema, "payload": payload})
        read = self._reading.toConnectData("t", jpype.JArray(jpype.JByte)(joined))
        out = self._transform.apply(self._record("t", 0, None, None, read.schema(), read.value(), 0))
        if out is None or out.value() is None:
            return None
        row = json.decode(bytes(self._writing.fromConnectData("t", out.valueSchema(), out.value())))
        return row | {name: json.decode(row[name]) for name in documents if row.get(name) is not None}

    def _map(self, settings: Mapping[str, str]) -> Any:
        made = jpype.JClass("java.util.HashMap")()
        for name, value in settings.items():
            made.put(name, value)
        return made


def start_java(jars: list[Path]) -> None:
    """In this process, once."""
    if not jpype.isJVMStarted():
        library = find_java().parents[1] / "lib" / "server" / "libjvm.so"
        quiet = ("--enable-native-access=ALL-UNNAMED", "-Xmx256m", "-Xlog:disable", "-Xrs")
        jpype.startJVM(str(library), *quiet, classpath=[str(jar) for jar in jars], convertStrings=True)


def fetch_jars(tell: Callable[[str], None]) -> list[Path]:
    """The jars, from the cache or from Maven Central; each is one that we know."""
    lines = (line.split() for line in CHECKSUMS.read_text().splitlines())
    known = {name: digest for digest, name in lines}
    folder = locate_cache().parent / f"debezium-{VERSION}"
    if not folder.is_dir():
        tell("fetching Debezium's jars, once")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            gathered = Path(scratch) / "gathered"
            gathered.mkdir()
            for jar in resolve(Path(scratch)):
                jar.rename(gathered / jar.name)
            gathered.rename(folder)
    for name, digest in known.items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
            raise RuntimeError(f"{folder / name} is not the jar we know (sha256): delete {folder}")
    return [folder / name for name in known]


def resolve(scratch: Path) -> list[Path]:
    """Let jgo find and download the jars below `scratch`."""
    from jgo.env import EnvironmentBuilder
    from jgo.maven import MavenContext

    os.environ.setdefault("JAVA_HOME", str(find_java().parents[1]))  # else jgo looks for a JDK index in the network
    context = MavenContext(repo_cache=scratch / "repository")
    EnvironmentBuilder(context=context, cache_dir=scratch / "environments").from_endpoint(COORDINATES)
    return list((scratch / "environments").rglob("*.jar"))
