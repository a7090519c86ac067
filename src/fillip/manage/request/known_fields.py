"""Which fields a body may have at a place, by the type that its route has for it."""

from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel


def list_known_fields(body: object, place: Sequence[str | int]) -> list[str]:
    """The names of the fields at a place, in the order of the type; none where it is of no type of ours.

    `place` is as the validator has it: with the name of the kind where a value had the choice among several.
    """
    kinds = list(_flatten(body))
    for step in place:
        below = [each for kind in kinds for each in _go_down(kind, step)]
        if not below and len(kinds) > 1:
            below = [kind for kind in kinds if getattr(kind, "__name__", "") == step]
        kinds = below
    return [name for kind in kinds for name in _list_members(kind)]


def _go_down(kind: object, step: str | int) -> Iterator[object]:
    members = _list_members(kind)
    if step in members:
        yield from _flatten(members[str(step)])
    elif isinstance(step, int):
        yield from (each for item in get_args(kind)[:1] for each in _flatten(item))


def _list_members(kind: object) -> dict[str, object]:
    if not isinstance(kind, type) or not issubclass(kind, BaseModel):
        return {}
    return {field.alias or own: field.annotation for own, field in kind.model_fields.items()}


def _flatten(kind: object) -> Iterator[object]:
    """The kinds that a value of this type may be of, null aside."""
    if get_origin(kind) is Annotated:
        yield from _flatten(get_args(kind)[0])
    elif get_origin(kind) in (Union, UnionType):
        yield from (each for part in get_args(kind) for each in _flatten(part) if each is not type(None))
    else:
        yield kind
