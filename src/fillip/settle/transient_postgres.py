"""What PostgreSQL may answer settle that passes by itself, so that the same may be tried again."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from fillip.core.errors import Retry
from fillip.rows import transient_postgres

BUSY = (
    asyncpg.TransactionRollbackError,
    asyncpg.QueryCanceledError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.UniqueViolationError,
)
"""The server answers; the same batch may be tried again some times: it lost a race, or took too long."""


TRANSIENT_ERRORS = (*transient_postgres.TRANSIENT_ERRORS, *BUSY, asyncpg.ReadOnlySQLTransactionError)
"""A standby takes no writes until it is promoted."""


@contextmanager
def retry_transient() -> Iterator[None]:
    """Raise Retry for what passes by itself; a key that is there already does not, where all rows are locked."""
    try:
        yield
    except asyncpg.UniqueViolationError:
        raise
    except TRANSIENT_ERRORS as error:
        raise Retry(f"{type(error).__name__}: {error}") from error


@contextmanager
def retry_sweep(failed: str) -> Iterator[None]:
    """Raise Retry, which says what `failed`, for whatever the server answers: the sweep comes again."""
    try:
        yield
    except (*TRANSIENT_ERRORS, asyncpg.PostgresError, Retry) as error:
        raise Retry(f"{failed}: {type(error).__name__}: {error}") from error
