"""What tells match that PostgreSQL was not reached or gave up: the same may be tried again."""

import asyncpg

from fillip.rows import transient_postgres

TOO_SLOW = (asyncpg.QueryCanceledError, asyncpg.IdleInTransactionSessionTimeoutError)
"""The server is there, and would not wait for so much of one tenant: no reason to let others wait."""
TRANSIENT_ERRORS = (
    *transient_postgres.TRANSIENT_ERRORS,
    asyncpg.IdleInTransactionSessionTimeoutError,  # a book is read in one long transaction
)
