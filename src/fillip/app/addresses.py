"""Addresses of the servers as they stand in settings: checked, and with TLS folded in."""

import re
from collections.abc import Collection
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

_DATABASE = re.compile(r"(/\w*)?", re.ASCII)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:/@\[\]]*)(?::(\d{1,5}))?")


def check_dsn(dsn: str) -> str:
    """A URL of PostgreSQL as it is; raises ValueError without quoting it: it holds a password."""
    wanted = "not a URL of PostgreSQL: write postgresql://user:password@host:port/database"
    return _check(dsn, ("postgresql", "postgres"), wanted)


def check_url(url: str) -> str:
    """A URL of Valkey as it is; raises ValueError without quoting it: it holds a password."""
    wanted = "not a URL of Valkey: write redis://:password@host:port/0, or rediss://… for TLS"
    return _check(url, ("redis", "rediss", "unix"), wanted)


def check_clickhouse(url: str) -> str:
    """A URL of ClickHouse as it is; raises ValueError without quoting it: it holds a password."""
    wanted = "not a URL of ClickHouse: write https://user:password@host:8443/database, or http://…:8123/… without TLS"
    parts = urlsplit(_check(url, ("http", "https"), wanted))
    if (
        not parts.hostname
        or "," in parts.netloc
        or parts.query
        or parts.fragment
        or not _DATABASE.fullmatch(parts.path)
    ):
        raise ValueError(wanted)
    return url


def check_bootstrap(bootstrap: str) -> str:
    """Addresses of Kafka as they are; raises ValueError for one that is none."""
    for address in bootstrap.split(","):
        found = _HOST.fullmatch(address.strip())
        if not (found and found[1] and _is_port(found[2])):
            raise ValueError(f"{address.strip()!r} is not an address: write host:port, several with commas")
    return bootstrap


def secure_dsn(dsn: str, authorities: Path | None, certificate: Path | None, key: Path | None) -> str:
    """The URL with TLS where `authorities` (a file) asks for it: the server's certificate and name are checked.

    What the URL says itself stays. `certificate` and `key` are the client's.
    """
    wanted = {"sslmode": "verify-full", "sslrootcert": str(authorities)} if authorities else {}
    if certificate:
        wanted |= {"sslcert": str(certificate), "sslkey": str(key)}
    return _add_query(dsn, wanted)


def secure_url(url: str, authorities: Path | None, certificate: Path | None, key: Path | None) -> str:
    """The URL of Valkey, with TLS where one of the files asks for it; see `secure_dsn`."""
    wanted = {"ssl_ca_certs": str(authorities)} if authorities else {}
    if certificate:
        wanted |= {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}
    return _add_query(url.replace("redis:", "rediss:", 1) if wanted and url.startswith("redis:") else url, wanted)


def _add_query(url: str, wanted: dict[str, str]) -> str:
    base, _, query = url.partition("?")
    said = dict(parse_qsl(query, keep_blank_values=True))
    return f"{base}?{urlencode(wanted | said, quote_via=quote, safe='/')}" if wanted else url


def _check(url: str, schemes: Collection[str], wanted: str) -> str:
    """A URL as it is, its scheme and every host checked; a password with / ? or # in it ends the host too early, so the hint."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(wanted) from None
    if parts.scheme not in schemes:
        raise ValueError(wanted)
    for host in parts.netloc.rpartition("@")[2].split(","):
        found = _HOST.fullmatch(host)
        if not (found and _is_port(found[2])):
            raise ValueError(
                f"{wanted}; the port is a number up to 65535; write %2F for / in a password, %23 for #, %3F for ?"
            )
    return url


def _is_port(text: str | None) -> bool:
    return text is None or 0 < int(text) <= 65_535
