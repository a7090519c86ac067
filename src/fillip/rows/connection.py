"""What runs the statements of this room: asyncpg's connection, or one that stands before it."""

from collections.abc import Sequence
from typing import Any, Protocol


class Row(Protocol):
    """A row, its columns by name."""

    def __getitem__(self, name: str, /) -> Any:  # noqa: ANN401 - whatever the column holds
        """The value of a column."""
        ...


class Connection(Protocol):
    """A connection inside a transaction that sees the tenants it is to see."""

    async def fetch(self, query: str, /, *args: Any) -> Sequence[Row]:  # noqa: ANN401 - whatever the statement takes
        """The rows of a statement ($1, $2 …), none where it returns none. Raises the errors of its driver."""
        ...
