"""The schema of PostgreSQL: Alembic revisions whose statements stand in SQL files beside them."""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from functools import lru_cache
from hashlib import scrypt
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

ROLES = (
    "fillip_api",
    "fillip_worker",
    "fillip_publish",
    "fillip_sweep",
    "fillip_gateway",
    "fillip_analyse",
    "fillip_cohort",
)


def role_dsn(dsn: str, role: str) -> str:
    """The URL of the same database for another role, with the password that `migrate` gives it by itself.

    That one follows from the owner's in `dsn` and leads to neither the owner's nor another role's. An owner without a
    password (trusted, or known by a certificate) makes roles without one.
    """
    given = urlsplit(dsn)
    place = given.netloc.rpartition("@")[2]
    secret = derive_password(unquote(given.password), role) if given.password else None
    login = role if secret is None else f"{role}:{quote(secret, safe='')}"
    return given._replace(netloc=f"{login}@{place}").geturl()


@lru_cache(maxsize=1_000)
def derive_password(owner_password: str, role: str) -> str:
    """A role's password from the owner's; slow by intent (some 50 ms), so that a weak one of the owner is not guessed by it."""
    made = scrypt(owner_password.encode(), salt=f"fillip role {role}".encode(), n=2**14, r=8, p=1, dklen=24)
    return urlsafe_b64encode(made).decode()


def migrate(dsn: str, role_dsns: Mapping[str, str] | None = None) -> None:
    """Bring the database at `dsn` (an owner with CREATEROLE) to the newest revision; safe to repeat, and while others do it.

    Gives each role the password of its URL in `role_dsns`, else that of `role_dsn`; the server sees the hash alone, so
    that no log has it. A URL without a password, or of another user, leaves the role as it is. Raises psycopg's,
    SQLAlchemy's or Alembic's errors as they are.
    """
    import psycopg
    from alembic import command
    from alembic.config import Config
    from psycopg import sql

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["dsn"] = dsn
    command.upgrade(config, "head")
    with psycopg.connect(dsn) as connection:
        connection.execute(read_statement("take_lock"))
        for role in ROLES:
            login = urlsplit((role_dsns or {}).get(role) or role_dsn(dsn, role))
            if login.username == role and login.password:
                password, name = unquote(login.password).encode(), role.encode()
                hashed = connection.pgconn.encrypt_password(password, name, b"scram-sha-256").decode()
                change = sql.SQL("ALTER ROLE {} PASSWORD {}")
                connection.execute(change.format(sql.Identifier(role), sql.Literal(hashed)))


def make_slot(dsn: str) -> bool:
    """Make publish's slot, before anything is written that it would miss; False when it exists or would come too late.

    The slot is named `fillip_<database>`. Publish itself makes one, with a snapshot, when it came too late.
    """
    import psycopg

    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(read_statement("make_slot")).fetchone() is not None


def read_statement(name: str) -> str:
    """What stands in the SQL file of this name."""
    return Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8")
