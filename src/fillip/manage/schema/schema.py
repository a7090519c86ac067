"""JSON Schemas of actions and users as fields of bodies, and what a change of one must leave as it is."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from fillip.core.schema.types import ListOf, ObjectType, Scalar, derive_type, has_own_time
from fillip.http.errors import Conflict

JsonSchema = Annotated[
    dict[str, Any],
    Field(
        description="JSON Schema (2020-12) of an object, each part with a `type`; it types the rules",
        examples=[
            {"type": "object", "properties": {"amount": {"type": "integer", "minimum": 0}}, "required": ["amount"]}
        ],
    ),
]
Attributes = Annotated[
    dict[str, Any], Field(description="As the schema types them", examples=[{"tier": "gold", "age": 41}])
]


def refuse_retyping(old: Mapping[str, object], new: ObjectType) -> None:
    """Raise Conflict when an attribute that users have would get another type: stored values would not fit it."""
    before = {field.name: field.type for field in derive_type(old).fields}
    for field in new.fields:
        kind = before.get(field.name, field.type)
        if kind != field.type and not _widens(kind, field.type):
            raise Conflict(
                f"the type of '{field.name}' (and its maxLength or maxItems) can't become narrower, users have values of the"
                " old one: add a new attribute",
                at=f"/user_schema/properties/{field.name}",
            )


def refuse_other_time(old: Mapping[str, object], new: Mapping[str, object]) -> None:
    """Raise Conflict where `event.time` would mean another thing: an attribute from now on, or no longer."""
    before, after = has_own_time(old), has_own_time(new)
    if before != after:
        now = "an attribute" if before else "when the event happened"
        message = f"`event.time` reads {now}, and would read something else: "
        cure = "keep the attribute 'time'" if before else "give the attribute another name than 'time'"
        raise Conflict(f"{message}{cure}, or use a new action", at="/schema/properties/time")


def _widens(old: object, new: object) -> bool:
    if isinstance(old, ListOf) and isinstance(new, ListOf):
        same = old.element == new.element or _widens(old.element, new.element)
        return same and old.max_items <= new.max_items
    if not isinstance(old, Scalar) or not isinstance(new, Scalar) or old.kind != new.kind:
        return False
    return (new.nullable or not old.nullable) and old.max_length <= new.max_length
