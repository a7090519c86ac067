"""The schema of PostgreSQL: Alembic revisions whose statements stand in SQL files beside them."""

from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

ROLES = ("fillip_api", "fillip_worker", "fillip_publish", "fillip_gateway")


def role_dsn(dsn: str, role: str, password: str | None = None) -> str:
    """The URL of the same database for another role; the password stays the same unless given."""
    given = urlsplit(dsn)
    place = given.netloc.rpartition("@")[2]
    secret = given.password or "" if password is None else quote(password, safe="")
    return given._replace(netloc=f"{role}:{secret}@{place}").geturl()


def migrate(dsn: str, role_password: str | None = None) -> None:
    """Bring the database at `dsn` (an owner with CREATEROLE) to the newest revision; safe to repeat.

    Sets the roles' password (default: that of `dsn`). Raises psycopg or Alembic errors as they are.
    """
    import psycopg
    from alembic import command
    from alembic.config import Config
    from psycopg import sql

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["dsn"] = dsn
    command.upgrade(config, "head")
    password = role_password or unquote(urlsplit(dsn).password or "")
    with psycopg.connect(dsn, autocommit=True) as connection:
        for role in ROLES:
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(password)))


def make_slot(dsn: str) -> bool:
    """Make publish's slot, before anything is written that it would miss; False when it exists or would come too late.

    The slot is named `fillip_<database>`. Publish itself makes one, with a snapshot, when it came too late.
    """
    import psycopg

    statement = Path(__file__).with_name("make_slot.sql").read_text(encoding="utf-8")
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(statement).fetchone() is not None
