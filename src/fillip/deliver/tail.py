"""What the gateway needs from the belt: the live tail of the announcements."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager

from fillip.stream.belt import Record

OpenTail = Callable[[], AbstractAsyncContextManager[AsyncIterator[Sequence[Record]]]]
"""Opens the tail of the topics from their end; once it is entered, nothing produced later is missed."""
