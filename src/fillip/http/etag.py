"""Optimistic locking: ETag is the object's revision in quotes, and a change must name the one it was made from."""

from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Response
from pydantic import BaseModel

from fillip.http.errors import RevisionMissing, Stale

Answer = TypeVar("Answer", bound=BaseModel)


class IfMatch:
    """The If-Match header of a request: absent, `*`, or one or more ETags."""

    def __init__(
        self,
        if_match: Annotated[
            str | None,
            Header(description="The ETag of the object that you read; `*` for any", examples=['"3"'], max_length=1000),
        ] = None,
    ) -> None:
        self._tags = None if if_match is None else {tag.strip() for tag in if_match.split(",")}

    def require(self, revision: int) -> None:
        """Pass when the header names `revision`; RevisionMissing (428) without a header, Stale (412) for another."""
        if self._tags is None:
            raise RevisionMissing("this object exists: send If-Match with the ETag that you read")
        if not self._tags & {"*", f'"{revision}"'}:
            raise Stale(f'the object has changed, its ETag is now "{revision}": read it again and repeat the change')


Match = Annotated[IfMatch, Depends()]


def tag(response: Response, revision: int) -> None:
    """Set the ETag of an answer."""
    response.headers["ETag"] = f'"{revision}"'


def answer_tagged(kind: type[Answer], row: Any, response: Response) -> Answer:  # noqa: ANN401 - a row of any table
    """A row with its `revision` as an answer of a `kind` whose fields are the row's columns; sets the ETag."""
    tag(response, row.revision)
    return kind.model_validate(row, from_attributes=True)
