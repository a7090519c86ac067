"""Rows of quest_instance."""

from msgspec import json

from fillip.core.quest.instance import Instance
from fillip.core.quest.step import StepState
from fillip.rows.connection import Row

_STEPS = json.Decoder(tuple[StepState, ...])
PLAIN = tuple(name for name in Instance.__struct_fields__ if name not in ("key", "steps", "start"))
"""The columns that are named as the fields of an instance, and hold the same."""


def read_instance(row: Row) -> Instance:
    """The instance that a row holds, its JSON as text."""
    start = row["start_attributes"]
    return Instance(
        key=row["instance_key"],
        steps=_STEPS.decode(row["steps"]),
        start=start and json.decode(start),
        **{name: row[name] for name in PLAIN},
    )
