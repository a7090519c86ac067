"""Named lists: values that rules read by name, replaced whole; what each held before is kept for explanations."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, cast

from fastapi import APIRouter, Response
from msgspec import json
from pydantic import BaseModel, Field, WithJsonSchema

from fillip.core.named_list import MAX_ITEM_CHARS, MAX_LIST_ITEMS, ItemKind
from fillip.core.problem import Fault
from fillip.core.rule.arithmetic import INT64_MAX, INT64_MIN
from fillip.http.errors import Conflict, Invalid
from fillip.http.etag import Match, answer_tagged, tag
from fillip.http.fields import ListId, Part, Title, give_examples
from fillip.http.page import Page, TitledPages, answer_page
from fillip.manage.book.postgres import change_book, lock_tenant
from fillip.manage.named_list import postgres
from fillip.manage.named_list.postgres import lists
from fillip.manage.request.route import Reading, Route, UnitOfWork, Writing
from fillip.manage.tenant.checks import require_room

_KEYWORDS = frozenset({"true", "false", "null", "in"})  # of CEL: the only names that can't stand behind a dot
_MAX_FAULTS = 100
_KINDS: dict[type, ItemKind] = {str: "string", int: "int"}
_WORDS = {"string": "a string", "int": "a whole number"}

router = APIRouter(prefix="/lists", tags=["lists"], route_class=Route)

_string = {"type": "string", "minLength": 1, "maxLength": MAX_ITEM_CHARS}
_integer = {"type": "integer", "minimum": INT64_MIN, "maximum": INT64_MAX}
_either = [{"type": "array", "items": item, "maxItems": MAX_LIST_ITEMS} for item in (_string, _integer)]
Items = Annotated[list[Any], Field(max_length=MAX_LIST_ITEMS), WithJsonSchema({"anyOf": _either})]


class ListPart(Part):
    """A list's name for people, and all its items: strings or whole numbers. One given twice counts once."""

    model_config = give_examples({"name": "Premium articles", "items": ["A-1", "A-7"]})

    name: Title
    items: Items


class ListAnswer(BaseModel):
    """A list without its items, of which there are `size`; `version` is the book's since when it holds them."""

    list_id: ListId
    name: Title
    kind: ItemKind
    size: int
    version: int
    revision: int
    created_at: datetime
    updated_at: datetime


class WholeList(ListAnswer):
    """A list with its items, sorted."""

    items: Items


@router.put("/{list_id}", responses={201: {"model": ListAnswer, "description": "Created"}})
async def put_list(list_id: ListId, given: ListPart, if_match: Match, work: Writing, response: Response) -> ListAnswer:
    """Make a list (201), or give it other items (200, If-Match): campaigns that read it go by them from the answer on.

    While a campaign or a limit reads it, its items stay of one kind.
    """
    kind, items = _check_items(given.items), sorted(set(given.items))
    require_room(work.caller, "list_size", 0, len(items))
    await lock_tenant(work.connection, work.caller)
    before = await lists.seek(work.connection, work.caller, list_id)
    if before is None:
        if list_id in _KEYWORDS:
            raise Invalid(f"'{list_id}' is a word of the rule language: choose another", at="list_id")
        if kind is None:
            raise Invalid(
                "a new list needs an item: whether it holds strings or whole numbers is told by it", at="/items"
            )
        require_room(work.caller, "lists", await lists.count(work.connection, work.caller.tenant_id))
        response.status_code = 201
    else:
        if_match.require(before.revision)
        kind = kind or before.kind
        if kind != before.kind:
            await _refuse_readers(list_id, work, f"can't change from {before.kind} to {kind}")
    document = {"list_id": list_id, "name": given.name, "kind": kind, "size": len(items)}
    more = len(json.encode(items))
    version = await change_book(work.connection, work.caller, "list", list_id, document, more_bytes=more)
    await postgres.add_version(work.connection, work.caller, list_id, version, items)
    values = {"name": given.name, "kind": kind, "size": len(items), "version": version}
    row = await lists.save(work.connection, work.caller, list_id, values, before)
    return answer_tagged(ListAnswer, row, response)


@router.get("/{list_id}")
async def read_list(list_id: ListId, work: Reading, response: Response) -> WholeList:
    """One list with its items."""
    row = await lists.find(work.connection, work.caller, list_id)
    tag(response, row.revision)
    items = await postgres.read_items(work.connection, work.caller, list_id, row.version)
    return WholeList(items=items, **ListAnswer.model_validate(row, from_attributes=True).model_dump())


@router.get("")
async def list_lists(work: Reading, pages: TitledPages) -> Page[ListAnswer]:
    """All lists without their items, by id."""
    return answer_page(ListAnswer, await lists.list(work.connection, work.caller, pages))


@router.delete("/{list_id}", status_code=204)
async def delete_list(list_id: ListId, if_match: Match, work: Writing) -> None:
    """Delete a list that no limit reads, and no campaign, archived ones aside."""
    await lock_tenant(work.connection, work.caller)
    if_match.require((await lists.find(work.connection, work.caller, list_id)).revision)
    await _refuse_readers(list_id, work, "can't be deleted")
    await lists.remove(work.connection, work.caller, list_id)
    document = {"list_id": list_id, "deleted": True}
    await change_book(work.connection, work.caller, "list", list_id, document, growing=False)


def _check_items(items: Sequence[object]) -> ItemKind | None:
    """Their kind, None where there are none; raises Invalid that names each which is wrong, or of another kind."""
    kind = _KINDS.get(type(items[0])) if items else None
    wrong = ((place, _find_fault(item, kind)) for place, item in enumerate(items))
    faults = [Fault(f"/items/{place}", message) for place, message in wrong if message]
    if faults:
        raise Invalid(f"{faults[0].at}: {faults[0].message}", faults=faults[:_MAX_FAULTS])
    return kind


def _find_fault(item: object, kind: ItemKind | None) -> str | None:
    """What is wrong with an item of a list whose first one is of `kind`, None where that is of none."""
    own = _KINDS.get(type(item))
    if own is None or (own == "int" and not INT64_MIN <= cast("int", item) <= INT64_MAX):
        return "must be a string or a whole number of 64 bits"
    if kind is not None and own != kind:
        return f"must be {_WORDS[kind]} as the first item: a list has items of one kind"
    if isinstance(item, str) and not 1 <= len(item) <= MAX_ITEM_CHARS:
        return f"must have 1 to {MAX_ITEM_CHARS} characters, this has {len(item)}"
    return None


async def _refuse_readers(list_id: str, work: UnitOfWork, what: str) -> None:
    """Raise Conflict that names the campaigns and limits whose expressions read a list."""
    if readers := await postgres.find_readers(work.connection, work.caller, list_id):
        raise Conflict(f"list {list_id} {what}, it is read by {', '.join(readers)}: change or archive them first")
