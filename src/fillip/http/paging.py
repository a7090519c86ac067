"""What a list request asks for."""

from datetime import datetime

from msgspec import Struct


class Paging(Struct, frozen=True):
    """At most `limit` items behind `cursor`, which the page before has told; None: the first page.

    Of the first column that orders the list: texts that begin with `prefix`, instants from `since` on and before `until`.
    Of the column `name`: texts that begin with `name_prefix`, in any case.
    """

    limit: int
    cursor: str | None
    prefix: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    name_prefix: str | None = None
