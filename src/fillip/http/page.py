"""A list, page by page, as routes take and answer it."""

from collections.abc import Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Depends, Query
from msgspec.structs import replace
from pydantic import BaseModel

from fillip.http.errors import Invalid
from fillip.http.fields import Instant
from fillip.http.paging import Paging

Item = TypeVar("Item")
Answer = TypeVar("Answer", bound=BaseModel)


class Page(BaseModel, Generic[Item]):
    """One page; `next_cursor` is null on the last one. A page before it may have fewer items than asked for, even none."""

    items: list[Item]
    next_cursor: str | None


def read_paging(
    limit: Annotated[int, Query(ge=1, le=200, description="Most items of the page")] = 50,
    cursor: Annotated[str | None, Query(max_length=2000, description="`next_cursor` of the page before")] = None,
) -> Paging:
    """What a list request asks for."""
    return Paging(limit, cursor)


Pages = Annotated[Paging, Depends(read_paging)]


def read_named_paging(
    paging: Pages,
    prefix: Annotated[
        str | None,
        Query(min_length=1, max_length=256, description="Of the id: those that begin so", examples=["spring-"]),
    ] = None,
) -> Paging:
    """What a request for a list by id asks for."""
    return replace(paging, prefix=prefix)


def read_titled_paging(
    paging: Annotated[Paging, Depends(read_named_paging)],
    name_prefix: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=200,
            description="Of the name: those that begin so, in any case",
            examples=["Spring"],
        ),
    ] = None,
) -> Paging:
    """What a request for a list by id asks for whose objects have names."""
    return replace(paging, name_prefix=name_prefix)


def read_timed_paging(
    paging: Pages,
    since: Annotated[
        Instant | None,
        Query(
            alias="from",
            description="From this instant on, by the time that orders the list",
            examples=["2026-01-01T00:00:00Z"],
        ),
    ] = None,
    until: Annotated[
        Instant | None, Query(alias="to", description="And before this one", examples=["2026-02-01T00:00:00Z"])
    ] = None,
) -> Paging:
    """What a request for a list by time asks for; raises Invalid for a period that is none."""
    if since is not None and until is not None and since >= until:
        raise Invalid("must lie behind `from`", at="to")
    return replace(paging, since=since, until=until)


NamedPages = Annotated[Paging, Depends(read_named_paging)]
TitledPages = Annotated[Paging, Depends(read_titled_paging)]
TimedPages = Annotated[Paging, Depends(read_timed_paging)]


def answer_page(kind: type[Answer], page: tuple[Sequence[object], str | None]) -> Page[Answer]:
    """Rows and the next cursor as a page: each row as an answer of a `kind` whose fields are the row's columns."""
    rows, cursor = page
    return Page(items=[kind.model_validate(row, from_attributes=True) for row in rows], next_cursor=cursor)
