"""Announcements have Debezium's envelope, and their schema is told beside them, also where a table changes meanwhile."""

from typing import Any

from tests.publish import rows
from tests.publish.conftest import Site

MOVE = "UPDATE end_user SET user_id = 'eve', attributes = '{}'"


def list_columns(schema: dict[str, Any]) -> dict[str, str]:
    """Name → type of the columns that a schema names."""
    fields = {each["field"]: each for each in schema["schema"]["fields"]}
    assert fields["before"]["fields"] == fields["after"]["fields"]
    return {each["field"]: each["type"] for each in fields["after"]["fields"]}


async def test_the_envelope_has_debeziums_names_beside_ours(site: Site) -> None:
    async with site.publishing():
        for statement in (rows.USER, MOVE):
            site.run(statement, user="ann")
        made, moved = await site.read(site.topics.users, 2)
    # before is what the WAL has of the old row: here the key, since it was changed
    assert [made["op"], made["before"], moved["op"]] == ["c", None, "u"]
    assert moved["before"] == {"tenant_id": site.tenant, "user_id": "ann"}
    assert (moved["after"]["user_id"], moved["after"]["attributes"]) == ("eve", {})
    source = moved["source"]
    assert (source["schema"], source["table"], source["snapshot"]) == ("public", "end_user", "false")
    assert (source["txId"], source["ts_ms"]) == (source["tx_id"], source["committed_at_us"] // 1000)
    assert made["source"]["lsn"] < source["lsn"] < source["commit_lsn"]
    assert source["db"] in site.owner_dsn
    assert moved["ts_ms"] == source["published_at_us"] // 1000


async def test_a_table_that_is_changed_meanwhile_goes_on_and_its_new_schema_is_told(site: Site) -> None:
    changes = ("ADD colour text DEFAULT 'red'", "RENAME colour TO color", "DROP color")
    async with site.publishing():
        site.run(rows.USER, user="u0")
        for number, change in enumerate(changes, 1):
            site.run(f"ALTER TABLE end_user {change}")
            site.run(rows.USER, user=f"u{number}")
        told = await site.read(site.topics.users, 4)
        schemas = await site.read(site.topics.schemas, 4)
    wanted = ["revision", "colour", "color", "revision"]
    assert [[name for name in wanted[:3] if name in message["after"]][-1] for message in told] == wanted
    columns = [list_columns(schema) for schema in schemas]
    assert columns == [dict.fromkeys(message["after"]) | found for message, found in zip(told, columns, strict=True)]
    assert columns[1]["colour"] == "string"
    assert (columns[0]["revision"], columns[0]["tenant_id"]) == ("int64", "string")
    # each is told from its place of the WAL on, before the rows that have it
    places = [(schema["source"]["commit_lsn"], schema["source"]["index"]) for schema in schemas]
    assert places == [(message["source"]["commit_lsn"], message["source"]["index"]) for message in told]
