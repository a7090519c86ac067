"""What a request computes while it has a transaction: briefly within it, else beside none.

A transaction that waits for a computation holds a connection and its locks, and PostgreSQL ends it after two seconds. So one that
takes longer than HOLD_S is waited for without: a request that reads goes on in a new transaction; one that writes is begun anew (`Anew`),
reads all again, and takes what was computed where it asks for the same. Where what it read has changed meanwhile, it asks for another.
"""

from asyncio import Task
from datetime import datetime
from typing import Any, TypeAlias

from fillip.core.errors import Retry

HOLD_S = 0.25
"""So long a transaction waits for a computation."""
MAX_ATTEMPTS = 10
"""Of one request; each ends with something computed, and a request asks for a few such things."""

Question: TypeAlias = tuple[object, ...]
"""The function and what it is given; two that are equal have one answer."""


class Anew(Exception):
    """The request has to be begun anew: something is computed by now, and its transaction was ended meanwhile."""


class Computed:
    """What the earlier attempts of a request have computed, and when the first of them began."""

    def __init__(self) -> None:
        self.began_at: datetime | None = None
        self._known: list[tuple[Question, Task[Any]]] = []

    def find(self, question: Question) -> Task[Any] | None:
        """Of the same question, what it came to."""
        return next((task for asked, task in self._known if asked == question), None)

    def keep(self, question: Question, task: Task[Any]) -> None:
        """Keep what came of it, be it an error. Raises Retry where this was the last attempt."""
        task.exception()  # which is raised when it is asked for again
        self._known.append((question, task))
        if len(self._known) == MAX_ATTEMPTS:
            raise Retry("what this is checked against keeps changing: try again in a few seconds")
