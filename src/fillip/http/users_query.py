"""What Fillip's own processes ask analyse for: the users whom a tenant's query selects."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

PATH = "/internal/users"
LONGEST_SQL = 20_000


class UsersQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A SELECT of users, and what is wanted of it: whether it could run, how many there are with some of them, or all."""

    tenant_id: Annotated[str, Meta(min_length=1, max_length=63)]
    sql: Annotated[str, Meta(max_length=LONGEST_SQL)]
    want: Literal["check", "preview", "all"]
