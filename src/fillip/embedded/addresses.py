"""Where servers answer, embedded ones and those that run elsewhere, and how that is shown without a password."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Addresses:
    """Where the servers answer; the DSN is the database owner's and holds its password."""

    postgres_dsn: str
    valkey_url: str
    kafka_bootstrap: str


@dataclass(frozen=True)
class External:
    """Servers that run elsewhere; None means: start an embedded one."""

    postgres_dsn: str | None = None
    valkey_url: str | None = None
    kafka_bootstrap: str | None = None
    kafka_security: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What librdkafka needs for TLS and SASL."""


def describe(server: str, address: str) -> str:
    """'PostgreSQL at host:port/database': where a server is, for people; never a password."""
    parts = urlsplit(address)
    return f"{server} at {parts.netloc.rpartition('@')[2]}{parts.path}"
