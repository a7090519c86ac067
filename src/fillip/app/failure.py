"""Errors of servers and of the machine as one line for a person; a fault of our own keeps its traceback."""

from collections.abc import Iterator

MEND = "are the servers up, and the addresses right? `fillip doctor` looks"
_REFUSED = ("08", "28", "3D", "53", "57")
"""Classes of SQLSTATE: no connection, wrong login, no such database, too many connections, server is stopping."""


def explain(error: BaseException) -> str | None:
    """One line that says what could not be done and what to do; None for what nobody but a developer can mend."""
    return f"{tell_cause(error)}; {MEND}" if any(map(_is_of_servers, _list_causes(error))) else None


def tell_cause(error: BaseException) -> str:
    """The first line of the innermost cause: drivers wrap each other's errors, and add the statement and links."""
    *_, cause = _list_causes(error)
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]


def _is_of_servers(error: BaseException) -> bool:
    import asyncpg
    import psycopg
    import redis
    from confluent_kafka import KafkaException

    if isinstance(error, asyncpg.PostgresError | psycopg.Error):
        return isinstance(error, psycopg.OperationalError) or str(error.sqlstate or "").startswith(_REFUSED)
    return isinstance(error, OSError | KafkaException | redis.ConnectionError | asyncpg.InterfaceError)


def _list_causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or getattr(seen, "orig", None)
