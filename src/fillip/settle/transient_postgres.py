"""What PostgreSQL may answer that passes by itself, so that the same may be tried again."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from fillip.core.errors import Retry

BUSY = (
    asyncpg.TransactionRollbackError,
    asyncpg.QueryCanceledError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.UniqueViolationError,
)
"""The server answers; the same batch may be tried again some times: it lost a race, or took too long."""


AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # of a connection whose server process was terminated
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
)
"""The server is away, out of room or a standby: for as long as it takes. Or the connection alone was cut."""


PASSING = (*BUSY, *AWAY, asyncpg.LockNotAvailableError)


@contextmanager
def retry_passing() -> Iterator[None]:
    """Raise Retry for what passes by itself; a key that is there already does not, where all rows are locked."""
    try:
        yield
    except asyncpg.UniqueViolationError:
        raise
    except PASSING as error:
        raise Retry(f"{type(error).__name__}: {error}") from error
