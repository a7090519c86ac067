"""Where each change of each table is announced: the one table of it."""

from collections.abc import Mapping
from typing import TypeAlias

from fillip.stream.topics import Topics

Routes: TypeAlias = Mapping[tuple[str, str], str]
"""The topic by (subject, op). A subject is a table, or `incentive_change/KIND` where the kind of change is known. Ops:
created, updated, deleted, truncated, read from a snapshot.
"""


def list_routes(topics: Topics) -> Routes:
    """All of them; what is not among them is not announced."""
    table = (
        ("incentive", "cr", topics.generated),
        ("incentive", "udt", topics.incentives),
        ("incentive_change/reversed", "cr", topics.reversed),
        ("incentive_change/expired", "cr", topics.expired),
        ("incentive_change", "udt", topics.incentives),
        ("inbox", "rudt", topics.acked),
        ("decision", "crudt", topics.decided),
        ("rejection", "crudt", topics.rejected),
        ("quest_instance", "crudt", topics.progressed),
        ("wallet_transfer", "crudt", topics.moved),
        ("wallet_part", "crudt", topics.drawn),
        ("limit_counter", "crudt", topics.used),
        ("level_change", "crudt", topics.levels),
        ("book_change", "crudt", topics.changed),
        ("end_user", "cudt", topics.users),
    )
    return {(subject, op): topic for subject, ops, topic in table for op in ops}


def list_urgent(topics: Topics) -> frozenset[str]:
    """The topics that a person waits for: their announcements go at once, the others may share their way."""
    return frozenset({*topics.told, topics.levels, topics.changed, topics.unannounced, topics.schemas})
