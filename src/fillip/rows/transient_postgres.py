"""What PostgreSQL may answer that passes by itself, so that the same may be tried again."""

import asyncpg

UNREACHED = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # of a connection whose server process was terminated
)
"""There was no answer: the server is away, or the connection alone was cut."""

TRANSIENT_ERRORS = (
    *UNREACHED,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
)
"""Not reached, shutting down, out of room, or a race was lost. Each caller adds what passes by itself for it alone."""
