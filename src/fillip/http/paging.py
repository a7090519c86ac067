"""What a list request asks for."""

from msgspec import Struct


class Paging(Struct, frozen=True):
    """At most `limit` items behind `cursor`, which the page before has told; None: the first page."""

    limit: int
    cursor: str | None
