"""The control plane's tables are those of the migrations."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from fillip.manage.store import wallet_tables


def test_tables_do_not_drift_from_the_migrations(database: str) -> None:
    engine = create_engine(database.replace("postgresql://", "postgresql+psycopg://"))

    def is_compared(_: object, name: str | None, kind: str, reflected: bool, __: object) -> bool:
        return kind == "column" or (kind == "table" and name in wallet_tables.metadata.tables)

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": is_compared, "compare_type": True})
        assert compare_metadata(context, wallet_tables.metadata) == []
    engine.dispose()
