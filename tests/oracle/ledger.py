"""What the ledger stored of one tenant, in the model's words."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

import psycopg

from tests.oracle.claim import CounterName, Name
from tests.oracle.ids import name_event
from tests.oracle.sequence import Stored, StoredMerge, StoredReversal

SQL = {path.stem: path.read_text() for path in Path(__file__).parent.glob("*.sql")}
SHARED = ("tenant", "campaign")
Origins = Mapping[str, Name]
"""The names that decisions had when they were made, by id: those that a merge of users has given another"""
Inbox = Mapping[str, list[tuple[object, ...]]]
"""user -> (campaign, instance, event, reward index, kind or "reversed", value, reversal or ""), by inbox number"""


def read_decisions(
    connection: psycopg.Connection[Any], tenant_id: str, shared: Collection[str], origins: Origins
) -> list[Stored]:
    """Every decision of a tenant, in no order; `shared` are the limits that all users have a part in."""
    return [_read_decision(row, shared, origins) for (row,) in connection.execute(SQL["decisions"], [tenant_id])]


def read_merges(connection: psycopg.Connection[Any], tenant_id: str) -> list[StoredMerge]:
    """Every merge of a tenant's users, in no order."""
    return [
        StoredMerge(
            f"merge {merge_id}",
            user,
            into,
            {currency: amount for currency, amount in moved["points"].items() if amount},
            moved["counters"],
            moved["instances"],
            moved["badges"],
        )
        for merge_id, user, into, moved in connection.execute(SQL["merges"], [tenant_id])
    ]


def read_reversals(connection: psycopg.Connection[Any], tenant_id: str) -> list[StoredReversal]:
    """Every reversal of a tenant, in no order."""
    return [_read_reversal(row) for (row,) in connection.execute(SQL["reversals"], [tenant_id])]


def read_inboxes(connection: psycopg.Connection[Any], tenant_id: str, origins: Origins) -> Inbox:
    """What each user was told, in order; what one reversal took is told in any order, so it is sorted."""
    found = defaultdict(list)
    for user, decision, *told, seq in connection.execute(SQL["inboxes"], [tenant_id]):
        found[user].append((seq, *_name(decision, origins), *told))
    for user, entries in found.items():
        assert [seq for seq, *_ in entries] == list(range(1, len(entries) + 1)), f"the inbox of {user} has a gap"
    return {user: list(_sort_each_reversal(entries)) for user, entries in found.items()}


def _sort_each_reversal(entries: list[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    for reversal, some in groupby(entries, key=lambda entry: entry[-1]):
        told = [entry[1:] for entry in some]
        yield from sorted(told) if reversal else told


def _read_decision(row: Mapping[str, Any], shared: Collection[str], origins: Origins) -> Stored:
    uses = tuple(row["limits"])
    counters = tuple(_name_counter(use, "" if use["limit_id"] in shared else row["user_id"]) for use in uses)
    who = (_name(row, origins), row["user_id"], row["outcome"], row["reason"])
    worth = tuple((each["kind"], each["value"], each["currency"], each.get("wanted")) for each in row["reward_values"])
    return Stored(*who, uses, counters, row["campaign_version"], row["variant"], row["shadow"], worth)


def _read_reversal(row: Mapping[str, Any]) -> StoredReversal:
    uses = tuple(row["counters"])
    counters = tuple(_name_counter(use, use["user_id"]) for use in uses)
    quests = tuple((q["campaign_id"], q["instance"], q["was"], q["state"], _read_taken(q)) for q in row["quests"])
    in_part = "of" in row["request"]
    name = name_event(row["reversal_source"], row["reversal_id"])
    found_less = any(each["worth"] and each["taken"] for each in row["reevaluations"] or ())
    who = {"name": name, "state": row["state"], "reason": row["reason"], "in_part": in_part}
    return StoredReversal(**who, uses=uses, counters=counters, quests=quests, found_less=found_less)


def _read_taken(quest: Mapping[str, Any]) -> dict[str, tuple[int, int, int]]:
    return {each["step"]: (each["amount"], each["was"], each["done"]) for each in quest["taken"]}


def _name_counter(use: Mapping[str, Any], user: str) -> CounterName:
    return use["limit_id"], user, use["key"], date.fromisoformat(use["window_start"])


def _name(row: Mapping[str, Any], origins: Origins) -> Name:
    if origin := origins.get(row["decision_id"]):
        return origin
    return row["campaign_id"], row["instance"], name_event(row["event_source"], row["event_id"])
